"""Every network on every accelerator that can be had here, and the page of it.

    python -m edgeskin.benchmarks.accelerators NAME=RUN:DATA ... --out DIR [--docs docs]

Run from a checkout with `edgeskin[all,qualcomm]`. It resumes; remove DIR to measure again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path

from edgeskin.benchmarks.accelerators.cells import NetworkBench, NetworkCells
from edgeskin.benchmarks.accelerators.cells_page import AcceleratorsResult, json_path, save
from edgeskin.benchmarks.peers.setting import machine
from edgeskin.errors import EdgeskinError

TOOLS = ("torch", "onnxruntime", "onnxruntime-qnn", "ai-edge-litert", "coremltools")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure what accelerators compute.")
    parser.add_argument("networks", nargs="+", metavar="NAME=RUN:DATA")
    parser.add_argument("--out", type=Path, required=True, help="folder of the files and cells")
    parser.add_argument("--samples", type=int, default=16, help="test images to draw")
    parser.add_argument("--docs", type=Path, help="the folder whose page gets the table")
    options = parser.parse_args(arguments)
    found = []
    for text in options.networks:
        name, _, places = text.partition("=")
        run, _, data = places.rpartition(":")
        if not run:
            print(f"'{text}' is not NAME=RUN:DATA", file=sys.stderr)
            return 2
        try:
            bench = NetworkBench(
                name, Path(run), Path(data), options.out / name, options.samples, _tell
            )
            found.append(bench.measure())
        except EdgeskinError as error:
            print(f"edgeskin: {error}", file=sys.stderr)
            return 2
    if options.docs:
        page = options.docs / "results" / "accelerators.md"
        here = machine()
        save(
            AcceleratorsResult(
                machine=f"{here.processor}, {here.processors} processors",
                tools={name: importlib.metadata.version(name) for name in TOOLS},
                networks=_with_known(found, json_path(page)),
            ),
            page,
        )
    return 0


def _with_known(found: list[NetworkCells], path: Path) -> tuple[NetworkCells, ...]:
    """The networks, with those that the page has already and nobody repeated."""
    networks: dict[str, NetworkCells] = {}
    if path.is_file():
        known = AcceleratorsResult.from_json(json.loads(path.read_bytes()))
        networks = {network.name: network for network in known.networks}
    return tuple({**networks, **{network.name: network for network in found}}.values())


def _tell(what: str, done: int, total: int) -> None:
    if done == total:
        print(f"{what}: {done}/{total}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
