"""Writes the table of arm64-drift.md, and arm64-drift.json, from results of `edgeskin bench`.

    python docs/results/arm64_drift.py FOLDER...

Each folder holds the results of one choice of kernels, on `host` and on an emulated CPU.
"""

import json
import math
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
JSON, PAGE = HERE / "arm64-drift.json", HERE / "arm64-drift.md"
HEADER = (
    "| kernels | file | CPU | arm64 against x86, dB | largest change: probability | lesions "
    "| same decisions | x86 against float, dB | arm64 against float, dB |\n"
)
KERNELS = {"reference": "reference", "none": "built-in", "xnnpack": "XNNPACK"}


def main(folders: list[str]) -> None:
    paths = [path for f in folders for path in sorted(Path(f).glob("emulated-*.json"))]
    found = [row(path) for path in paths]
    JSON.write_text(json.dumps(found, indent=1) + "\n")
    page = PAGE.read_text()
    table = HEADER + "|" + "---|" * (HEADER.count("|") - 1) + "\n" + "".join(map(line, found))
    pattern = r"(<!-- drift -->\n)(\|.*\n)*"
    PAGE.write_text(re.sub(pattern, lambda match: match[1] + table, page, count=1))


def row(path: Path) -> dict:
    """Of one file on one emulated CPU: against this machine, and both against the float model."""
    arm = json.loads(path.read_text())
    name = path.name.replace(arm["device"]["name"].replace(":", "-"), "host", 1)
    x86 = json.loads(path.with_name(name).read_text())
    twin = arm["accuracy"]["host"]
    assert twin["engine"]["sha256"] == x86["engine"]["sha256"], path
    change = {name: entry["max_difference"] for name, entry in twin["agreement"].items()}
    return {
        "file": arm["artifact"]["name"],
        "sha256": arm["artifact"]["sha256"],
        "device": arm["device"]["name"],
        "runtime": Path(arm["engine"]["library"]).name,
        "kernels": arm["engine"]["accelerator"],
        "images": arm["accuracy"]["images"],
        "sqnr_db": lowest(twin),
        "probability": change["severity"],
        "lesions": change["count"],
        "equal_decisions": min(twin["equal_decisions"].values()),
        "x86_to_float_db": lowest(x86["accuracy"]),
        "arm64_to_float_db": lowest(arm["accuracy"]),
    }


def lowest(part: dict) -> float:
    """SQNR of the output that agrees least."""
    return min(entry["sqnr_db"] for entry in part["agreement"].values())


def line(entry: dict) -> str:
    runtime = "ONNX Runtime" if "onnx" in entry["runtime"] else KERNELS[entry["kernels"]]
    db = "equal bits" if math.isinf(entry["sqnr_db"]) else f"{entry['sqnr_db']:.1f}"
    cells = [runtime, entry["file"].split("-")[-1], entry["device"].partition("-")[2].upper(), db]
    cells += [f"{entry['probability']:.2g}", f"{entry['lesions']:.2g}"]
    cells += [f"{100 * entry['equal_decisions']:.0f} %"]
    cells += [f"{entry['x86_to_float_db']:.1f}", f"{entry['arm64_to_float_db']:.1f}"]
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main(sys.argv[1:])
