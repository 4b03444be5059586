"""Train, quantize, convert and measure the five systems, and write their table.

    python -m edgeskin.benchmarks.systems --data DATA --out DIR [--only a,b] [--train]

DATA holds the sets as folders (acne_severity, face_age, ...). Every row has a folder in DIR; what
is there already is not made again. `--docs docs` fills the tables of docs/systems.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path

from edgeskin.benchmarks.systems.measure import Workspace, measure, trained
from edgeskin.benchmarks.systems.page import json_path, save
from edgeskin.benchmarks.systems.rows import PAIRS, ROWS
from edgeskin.benchmarks.systems.sets import SETS, made
from edgeskin.benchmarks.systems.systems_documents import (
    PipelineRecord,
    SystemRecord,
    SystemsResult,
)
from edgeskin.benchmarks.systems.two_stages import measure_pair
from edgeskin.errors import EdgeskinError

TOOLS = ("torch", "torchao", "timm", "ai-edge-litert", "onnxruntime", "coremltools", "lightly")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure the five systems.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of the rows")
    parser.add_argument("--only", default="", help="rows, divided by commas; else all")
    parser.add_argument("--sets", default="", help="only make these sets of images, in DIR/sets")
    parser.add_argument("--train", action="store_true", help="train, and stop there")
    parser.add_argument("--no-emulated", action="store_true", help="leave the emulated CPU out")
    parser.add_argument("--docs", type=Path, help="the folder whose systems/*.md get the tables")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else [*ROWS, *PAIRS]
    if unknown := [name for name in options.sets.split(",") if name and name not in SETS]:
        print(f"no set '{unknown[0]}'; there are {', '.join(SETS)}", file=sys.stderr)
        return 2
    if unknown := [name for name in names if name not in (*ROWS, *PAIRS)]:
        print(f"no row '{unknown[0]}'; there are {', '.join((*ROWS, *PAIRS))}", file=sys.stderr)
        return 2
    workspace = Workspace(options.data, options.out, not options.no_emulated, _tell)
    try:
        for name in filter(None, options.sets.split(",")):
            print(made(name, workspace.data, workspace.out, workspace.progress))
        for name in () if options.sets else names:
            if name in ROWS:
                (trained if options.train else measure)(ROWS[name], workspace)
            elif not options.train:
                measure_pair(PAIRS[name], workspace)
        if options.docs:
            save(_result(options.out, options.docs), options.docs)
    except (EdgeskinError, OSError) as error:
        print(f"edgeskin: {error}", file=sys.stderr)
        return 2
    return 0


def _result(out: Path, docs: Path) -> SystemsResult:
    """The rows that were measured, with those that the page has already and nobody repeated."""
    before = json_path(docs)
    rows: dict[str, SystemRecord] = {}
    pipelines: dict[str, PipelineRecord] = {}
    if before.is_file():
        known = SystemsResult.from_json(json.loads(before.read_bytes()))
        rows = {row.name: row for row in known.rows}
        pipelines = {row.name: row for row in known.pipelines}
    for name in PAIRS:
        if (path := out / f"pipeline-{name}" / "record.json").is_file():
            pipelines[name] = PipelineRecord.from_json(json.loads(path.read_bytes()))
    for name in ROWS:
        if (path := out / name / "record.json").is_file():
            rows[name] = SystemRecord.from_json(json.loads(path.read_bytes()))
    return SystemsResult(
        tools={name: importlib.metadata.version(name) for name in TOOLS},
        rows=tuple(rows[name] for name in ROWS if name in rows),
        pipelines=tuple(pipelines[name] for name in PAIRS if name in pipelines),
    )


def _tell(what: str, done: int, total: int) -> None:
    if done == total or what.startswith(("training", "qat", "verifying", "pretraining")):
        print(f"{what}: {done}/{total}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
