"""What accelerators take of networks before and after legalization for them; a table of a page.

python docs/results/partitions.py vit_tiny_patch16_224 mobilenetv3_small_100 ...
python docs/results/partitions.py          # only the table, from partitions.json

Networks of the peers table, or of timm by name at 160 px, with random weights that behave
(`benchmarks.peers.zoo`). Each is calibrated on 6 pictures, converted for CPUs and for
accelerators, and compiled, not run: by Qualcomm's compiler for SM8750 and by LiteRT's GPU.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from floors import spec_of

from edgeskin.artifacts import Metadata
from edgeskin.benchmarks.peers import zoo
from edgeskin.benchmarks.peers.int8_page import grid
from edgeskin.benchmarks.systems.page import marked
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.conversion import Tried
from edgeskin.converters.model import Job
from edgeskin.errors import EdgeskinError
from edgeskin.formats import FORMATS
from edgeskin.models.architectures import build
from edgeskin.verbs import try_on

HERE = Path(__file__).parent
PAGE = HERE / "accelerators.md"
FILES = (
    ("fp32", "tflite"),
    ("fp32", "onnx"),
    ("w8a8", "tflite"),
    ("w8a8", "onnx"),
    ("w8a16", "onnx"),
)
DESTINATIONS = {"tflite": ("snapdragon:SM8750", "gpu"), "onnx": ("snapdragon:SM8750",)}
COLUMNS = ("network", "file", "destination", "made for CPUs", "made for it")


def main() -> None:
    file = HERE / "partitions.json"
    found = json.loads(file.read_text()) if file.exists() else []
    for name in sys.argv[1:]:
        found = [row for row in found if row["network"] != name] + measure(name)
        file.write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")
    page = marked(PAGE.read_text(), "partitions", grid(COLUMNS, list(map(line, found))))
    PAGE.write_text(page)


def measure(name: str) -> list[dict]:
    spec = spec_of(name)
    torch.manual_seed(0)
    network = build(spec)
    zoo.settle(network, zoo.normalized(spec, zoo.pictures(spec.input, 24, seed=0)))
    network.eval().requires_grad_(False)
    images, rows = list(zoo.pictures(spec.input, 6, seed=1)), []
    modules = {"fp32": network} | {
        scheme: calibrate_network(network, spec, images, method="minmax", scheme=scheme).module
        for scheme in ("w8a8", "w8a16")
    }
    for precision, target in FILES:
        metadata = Metadata(spec, "app", "fp32" if precision == "fp32" else "int8")
        job, taken = Job(modules[precision], metadata), {}
        for portable in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"network{FORMATS[target].suffix}"
                taken |= tried(replace(job, portable=portable), path, target)
        for destination in DESTINATIONS[target]:
            row = {"network": name, "precision": precision, "target": target}
            row |= {"destination": destination, "cpu": taken[False, destination]}
            rows.append({**row, "own": taken[True, destination]})
            print(rows[-1], file=sys.stderr)
    return rows


def tried(job: Job, path: Path, target: str) -> dict[tuple[bool, str], str]:
    """What each destination takes, in words."""
    try:
        FORMATS[target].convert(job, path)
    except EdgeskinError as error:
        return {(job.portable, name): f"no file: {error}" for name in DESTINATIONS[target]}
    return {(job.portable, name): said(try_on(path, name)) for name in DESTINATIONS[target]}


def said(tried: Tried) -> str:
    """`told` of the command line without the file and the destination, which the row names."""
    if tried.reason:
        return f"{'not tried' if tried.whole is None else 'refused'}: {tried.reason}"
    count = "" if tried.taken is None else f", {tried.taken} operators"
    if tried.whole:
        return f"whole{count}"
    because = "; ".join(tried.left_because)
    return f"in parts{count}; left {tried.left_in_words}" + (f": {because}" if because else "")


def line(row: dict) -> tuple[str, ...]:
    file = f"{FORMATS[row['target']].title} {row['precision']}"
    shown = (" ".join(row[key].split())[:160] for key in ("cpu", "own"))
    return (row["network"], file, row["destination"], *shown)


if __name__ == "__main__":
    main()
