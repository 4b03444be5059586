"""Measures what untouched files reach beside their floors, and writes the table of floors.md.

python docs/results/floors.py vit_tiny edgenext_xx_small ...
python docs/results/floors.py          # only the table, from floors.json

Networks of the peers table, or of timm by name at 160 px, with random weights that behave
(`benchmarks.peers.zoo`). Each is calibrated, converted to three formats in three precisions,
and compared by layer on one image; on two as a whole.
"""

import json
import math
import re
import sys
import tempfile
from pathlib import Path

import torch

from edgeskin.artifacts import Metadata
from edgeskin.benchmarks.peers import zoo
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.converters.audit.stored import differences
from edgeskin.converters.model import Job
from edgeskin.converters.parity.floors import layer_db, rounding_db, whole_db, worst_sqnr_db
from edgeskin.converters.parity.layers import compare_layers
from edgeskin.converters.parity.reference import of_network
from edgeskin.formats import FORMATS, open_session, read_network
from edgeskin.models import MEAN, STD
from edgeskin.models.architectures import build
from edgeskin.predictor import Predictor
from edgeskin.spec import ClassificationHead, InputSpec, Spec

HERE = Path(__file__).parent
PRECISIONS = ("fp32", "fp16", "int8")


def main() -> None:
    file = HERE / "floors.json"
    found = json.loads(file.read_text()) if file.exists() else []
    for name in sys.argv[1:]:
        found = [row for row in found if row["network"] != name] + measure(spec_of(name))
        file.write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")
    page = (HERE / "floors.md").read_text()
    table = "\n".join(map(line, found))
    page = re.sub(
        r"(<!-- floors -->\n\|.*\n\|.*\n)(?:\|.*\n)*", lambda m: m[1] + table + "\n", page
    )
    (HERE / "floors.md").write_text(page)


def spec_of(name: str) -> Spec:
    if name in zoo.MODELS:
        return zoo.MODELS[name].spec
    return Spec(
        name=name,
        task="benchmark",
        arch="timm:create_model",
        arch_args={"model_name": name},
        input=InputSpec(height=160, width=160, resize="squash", mean=MEAN, std=STD),
        heads=(ClassificationHead(name="logits", labels=tuple(f"c{i}" for i in range(1000))),),
        license="CC0-1.0",
        intended_use="Measuring floors. The weights are random.",
    )


def measure(spec: Spec) -> list[dict]:
    torch.manual_seed(0)
    network = build(spec)
    zoo.settle(network, zoo.normalized(spec, zoo.pictures(spec.input, 24, seed=0)))
    network.eval().requires_grad_(False)
    images = list(zoo.pictures(spec.input, 6, seed=1))
    program = calibrate_network(network, spec, images, method="minmax").module
    pixels = zoo.pictures(spec.input, 2, seed=2)
    run, quantized = (of_network(spec.name, spec, n, "") for n in (network, program))
    rounding, rows = rounding_db(run, pixels), []
    for precision in PRECISIONS:
        for target in FORMATS:
            reference = quantized if precision == "int8" else run
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{spec.name}-{precision}{FORMATS[target].suffix}"
                job = Job(reference.network, Metadata(spec, "app", precision))
                made = FORMATS[target].convert(job, path)
                with Predictor(spec, open_session(path), "app") as predictor:
                    whole = worst_sqnr_db(reference.run_all(pixels), predictor.run_all(pixels))
                report = compare_layers(path, reference, pixels[:1])
                held = made.network if precision == "int8" else None
                stored = differences(held, read_network(path)) if held else []
            row = {
                "network": spec.name,
                "target": target,
                "precision": precision,
                "rounding_db": rounding,
                "whole_db": whole,
                "products": report.matched_products,
                "stored_differences": stored,
                "layers": [
                    [layer.name, _number(layer.own_sqnr_db), _number(layer.rounding_db or math.inf)]
                    for layer in report.layers
                ],
            }
            print({k: v for k, v in row.items() if k != "layers"}, file=sys.stderr)
            rows.append(row)
    return rows


def _number(db: float) -> float | str:
    return round(db, 1) if math.isfinite(db) else str(db)


def line(row: dict) -> str:
    precision, file_type = row["precision"], FORMATS[row["target"]]
    floor = whole_db(precision, row["rounding_db"])
    layers = [
        (
            float(own) - layer_db(precision, float(rounding), file_type, of_program=True),
            float(own),
            name,
        )
        for name, own, rounding in row["layers"]
    ]
    margin, own, name = min(layers)
    return (
        f"| {row['network']} | {row['target']} | {precision} | {row['rounding_db']:.1f} "
        f"| {row['whole_db']:.1f} | {floor:.1f} | {row['whole_db'] - floor:+.1f} "
        f"| {own:.1f} ({name.removeprefix('network.')}) | {margin:+.1f} | {row['products']} |"
    )


if __name__ == "__main__":
    main()
