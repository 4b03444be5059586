"""Writes the tables of proof.md, and proof.json: what the proof costs, and whether it is right.

    python docs/results/proof.py cost [NAME...] [--rounds N] [--files DIR]
    python docs/results/proof.py trained RUN PROGRAM DATA [--images N] [--files DIR]
    python docs/results/proof.py page

`cost` makes ResNet50 and EfficientNetV2-S with random weights that behave
(`peers.zoo.settle`), converts them, and runs `edgeskin inspect`, `verify` and
`verify --layers` on each file and eight phantoms, every command as a process of its
own. `trained` converts a trained run and its INT8 program, matches the INT8 files by
layer, and runs the Core ML files by MIL's meaning. `--files` keeps what was converted
and takes what is there. Each writes its part of proof.json.
"""

import argparse
import csv
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

from edgeskin import metrics
from edgeskin.artifacts import read_metadata
from edgeskin.benchmarks.peers import builds, zoo
from edgeskin.benchmarks.peers.int8_page import compact_json
from edgeskin.benchmarks.peers.setting import machine
from edgeskin.converters.parity.layers import compare_layers
from edgeskin.converters.parity.reference import Model, open_model
from edgeskin.data.manifest import load_split
from edgeskin.data.phantoms import write_set
from edgeskin.formats import FORMATS, read_network
from edgeskin.predictor import Predictor
from edgeskin.runtimes import mil
from edgeskin.spec import Spec

HERE = Path(__file__).parent
JSON, PAGE = HERE / "proof.json", HERE / "proof.md"
NETWORKS = ("resnet50", "efficientnet_v2_s")
COMMANDS = ("inspect", "verify", "verify --layers")
IMAGES = 8
LAUNCHER = """
import json, os, sys
process = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)  # of its own children too
cpu = round(usage.ru_utime + usage.ru_stime, 2)
with open(sys.argv[1], "w") as file:
    exit = os.waitstatus_to_exitcode(status)
    json.dump({"exit": exit, "cpu_s": cpu, "peak_mb": usage.ru_maxrss}, file)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    cost = commands.add_parser("cost")
    cost.add_argument("names", nargs="*")
    cost.add_argument("--rounds", type=int, default=1)
    cost.set_defaults(run=lambda chosen, out: measure_costs(chosen.names, chosen.rounds, out))
    trained = commands.add_parser("trained")
    for name in ("source", "program", "data"):
        trained.add_argument(name, type=Path)
    trained.add_argument("--images", type=int, default=IMAGES)
    trained.set_defaults(run=measure_trained)
    for command in (cost, trained):
        command.add_argument("--files", type=Path)
    commands.add_parser("page").set_defaults(run=None)
    chosen = parser.parse_args()
    if chosen.run is None:
        write_page(json.loads(JSON.read_text()))
        return
    with tempfile.TemporaryDirectory() as scratch:
        chosen.run(chosen, chosen.files or Path(scratch))


def keep(part: str, name: str, entry: dict) -> None:
    found = json.loads(JSON.read_text()) if JSON.exists() else {}
    found |= {"machine": machine().to_json(), "tools": builds.tool_versions(), "threads": 1}
    found.setdefault(part, {})[name] = entry
    JSON.write_text(compact_json(found))


def measure_costs(names: list[str], rounds: int, out: Path) -> None:
    for name in names or NETWORKS:
        spec, folder = zoo.MODELS[name].spec, out / name
        if failed := builds.build(spec, folder, ["run", "program.pt2"], tell=tell):
            raise SystemExit(str(failed))
        make_data(folder / "data", spec)
        sources = {"fp32": folder / "run", "int8": folder / "program.pt2"}
        files = {
            path.name: cost_of(path, folder / "run", folder / "data", rounds)
            for precision, source in sources.items()
            for path in convert(source, precision, FORMATS, folder / "app")
        }
        title = zoo.MODELS[name].title
        keep("cost", name, {"title": title, "images": IMAGES, "rounds": rounds, "files": files})


def make_data(folder: Path, spec: Spec) -> None:
    """Eight phantoms, each labelled as a class of its own."""
    if folder.exists():
        return
    size = spec.input.height
    manifest = write_set(folder, train=0, val=0, test=IMAGES, size=size)
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "split", spec.heads[0].name))
        writer.writerows((row["file"], row["split"], i) for i, row in enumerate(rows))


def convert(source: Path, precision: str, targets, out: Path) -> list[Path]:
    """The files of `source`, made by `edgeskin convert` where they are not there yet."""
    for target in targets:
        suffix = FORMATS[target].suffix
        if not list(out.glob(f"*-{precision}{suffix}")):
            tell(f"converting {source.name} to {precision}{suffix}")
            options = ["--precision", precision, "--target", target, "--no-timing"]
            if (ran := edgeskin("convert", source, "--out", out, *options))["exit"] == 2:
                raise SystemExit(ran["said"])
    return [next(out.glob(f"*-{precision}{FORMATS[target].suffix}")) for target in targets]


def edgeskin(*arguments) -> dict:
    """One command as a process: exit code, CPU seconds over all threads, peak memory in MB.

    It is started by a small process: a peak counts from the fork on, when a process is
    still as large as the one that started it.
    """
    command = [sys.executable, "-P", "-m", "edgeskin.cli.main", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        used = Path(folder, "used.json")
        launch = [sys.executable, "-S", "-c", LAUNCHER, str(used), *command]
        ran = subprocess.run(launch, capture_output=True, text=True, env=environment, check=True)
        found = json.loads(used.read_text())
    unit = 1 if sys.platform == "darwin" else 1024
    found["peak_mb"] = round(found["peak_mb"] * unit / 1e6)
    return found | {"printed": ran.stdout, "said": ran.stderr.strip()}


def cost_of(path: Path, run: Path, data: Path, rounds: int) -> dict:
    given = ("--reference", run, "--data", data)
    options = {"inspect": (), "verify": given, "verify --layers": (*given, "--images", IMAGES)}
    found: dict = {"megabytes": round(size(path) / 1e6, 2)}
    for command in COMMANDS:
        verb, *flags = command.split()
        runs = [edgeskin(verb, path, *flags, *options[command], "--json") for _ in range(rounds)]
        if runs[-1]["exit"] == 2:
            raise SystemExit(runs[-1]["said"])
        document = json.loads(runs[-1]["printed"])
        found[command] = {key: [ran[key] for ran in runs] for key in ("exit", "cpu_s", "peak_mb")}
        found[command] |= {k: document[k] for k in ("sqnr_db", "missed_gates") if document.get(k)}
        if "layers" in document:
            found["matched_products"] = document["layers"]["matched_products"]
        tell(f"{path.name} {command}: {found[command]}")
    return found


def size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def measure_trained(chosen: argparse.Namespace, out: Path) -> None:
    floats = [
        convert(chosen.source, precision, ["coreml"], out)[0] for precision in ("fp32", "fp16")
    ]
    int8 = dict(zip(FORMATS, convert(chosen.program, "int8", FORMATS, out), strict=True))
    spec = read_metadata(floats[0]).spec
    run, program = open_model(chosen.source, spec), open_model(chosen.program, spec)
    pixels = load_split(chosen.data, "test").take(chosen.images).pixels(spec.input)
    files = dict(zip(("fp32", "fp16"), floats, strict=True)) | {"int8": int8["coreml"]}
    entry = {
        "network": f"{spec.name}, {spec.arch}",
        "data": chosen.data.resolve().name,
        "images": len(pixels),
        "mil": {
            precision: agreement(path, program if precision == "int8" else run, pixels)
            for precision, path in files.items()
        },
        "mil_against_onnx": agreement(int8["coreml"], open_model(int8["onnx"], spec), pixels),
        "layers": {
            target: {
                "program": by_layer(path, program, pixels),
                "run": by_layer(path, run, pixels),
            }
            for target, path in int8.items()
        },
    }
    tell(json.dumps(entry, indent=1))
    keep("trained", chosen.source.name, entry)


def agreement(path: Path, reference: Model, pixels) -> dict:
    """The least SQNR in dB of all outputs, as saved and with every float in float32."""
    expected, found = reference.run_all(pixels), {}
    for arithmetic in ("as_saved", "full"):
        with mil.open_session(path, arithmetic=arithmetic) as session:
            got = Predictor(reference.spec, session, read_metadata(path).io).run_all(pixels)
        found[arithmetic] = number(min(metrics.sqnr_db(x, got[k]) for k, x in expected.items()))
    return found


def by_layer(path: Path, reference: Model, pixels) -> dict:
    """How products were matched, whether in the order of the file, and the least figures."""
    report = compare_layers(path, reference, pixels)
    operators = read_network(path).operators
    place = {name: i for i, op in enumerate(operators) for name in op.outputs}
    products = [row for row in report.layers if row.kind == "multiply"]
    order = [place[row.tensor] for row in products]
    worst = min(products, key=lambda row: row.own_sqnr_db)
    return {
        "matched_products": report.matched_products,
        "by": dict(Counter(row.by for row in products)),
        "in_other_order": sum(a >= b for a, b in pairwise(order)),
        "least_sqnr_db": number(min(row.sqnr_db for row in products)),
        "least_own_sqnr_db": number(worst.own_sqnr_db),
        "least_own": worst.name,
    }


def number(value: float) -> float | None:
    return None if math.isinf(value) else round(value, 1)  # every bit equal


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def write_page(found: dict) -> None:
    tables = {"cost": [], "layers": [], "mil": []}
    for network in found.get("cost", {}).values():
        for name, entry in network["files"].items():
            tables["cost"].append(cost_row(network["title"], name, entry))
    for entry in found.get("trained", {}).values():
        tables["mil"].append(mil_row(entry))
        tables["layers"] += [layers_row(entry, target) for target in entry["layers"]]
    page = PAGE.read_text()
    for mark, rows in tables.items():
        page = re.sub(
            rf"(<!-- {mark} -->\n\|.*\n\|.*\n)(?:\|.*\n)*",
            lambda m, rows=rows: m[1] + "".join(f"{row}\n" for row in rows),
            page,
        )
    PAGE.write_text(page)


def cost_row(title: str, name: str, entry: dict) -> str:
    precision, _, suffix = name.rpartition("-")[2].partition(".")
    cells = [
        f"{min(entry[command]['cpu_s']):.1f} s, {max(entry[command]['peak_mb'])} MB"
        + r"\*" * any(entry[command]["exit"])
        for command in COMMANDS
    ]
    start = f"| {title} | {precision} .{suffix} | {entry['megabytes']:.1f} "
    return f"{start}| {' | '.join(cells)} | {entry['matched_products']} |"


def layers_row(entry: dict, target: str) -> str:
    program, run = entry["layers"][target]["program"], entry["layers"][target]["run"]
    by = ", ".join(f"{count} {how}" for how, count in run["by"].items())
    figures = [program["least_own_sqnr_db"], run["least_own_sqnr_db"], run["least_sqnr_db"]]
    cells = [run["matched_products"], by, str(run["in_other_order"]), *map(shown, figures)]
    return f"| {entry['network']} | {target} | {' | '.join(cells)} |"


def mil_row(entry: dict) -> str:
    made, onnx = entry["mil"], entry["mil_against_onnx"]
    figures = [made["fp32"]["full"], made["fp16"]["full"], made["fp16"]["as_saved"]]
    figures += [made["int8"]["full"], made["int8"]["as_saved"], onnx["full"], onnx["as_saved"]]
    return f"| {entry['network']} | {entry['images']} | {' | '.join(map(shown, figures))} |"


def shown(value: float | None) -> str:
    return "equal" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
