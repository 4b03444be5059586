"""Writes the tables of acne.md, and acne.json, from what was measured.

    python -m edgeskin.benchmarks.latency app/*.tflite app/*.onnx > latency.json
    python docs/results/acne.py runs/acne app latency.json acne_severity/test

Takes the run's `metrics.json`, the manifest of its nine artifacts (after
`edgeskin verify` of each), and their latencies. An artifact that was not
verified on the named data and split is an error, not a blank.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
GRADES = ("mild", "moderate", "severe", "very severe")
FLOAT_ROWS = (  # title, key, digits, published ResNet, published fusion
    ("accuracy, by class", "severity_accuracy", 4, "0.6678 to 0.6712", "0.8014"),
    ("accuracy, by count", "count_grade_accuracy", 4, "0.6678 to 0.6712", "0.7979"),
    ("balanced accuracy, by class", "severity_balanced_accuracy", 4, "", ""),
    ("count MAE, lesions", "count_mae", 2, "5.20", "3.37"),
    ("count RMSE, lesions", "count_rmse", 2, "", "6.67"),
)


def main(run: Path, files: Path, latency: Path, data: str) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    entries = json.loads((files / "manifest.json").read_text())["artifacts"]
    times = json.loads(latency.read_text())["models"]
    found = {name: summary(entry, times.get(name), data) for name, entry in entries.items()}
    (HERE / "acne.json").write_text(
        json.dumps({"float": metrics, "data": data, "artifacts": found}, indent=1) + "\n"
    )
    page = (HERE / "acne.md").read_text()
    page = fill(page, "float", float_rows(metrics["test"]))
    page = fill(page, "classes", class_rows(metrics["test"]["severity_per_class"]))
    page = fill(page, "files", [file_row(name, entry) for name, entry in ordered(found)])
    (HERE / "acne.md").write_text(page)


def summary(entry: dict, times: dict | None, data: str) -> dict:
    """What the page shows of one artifact."""
    kept = {k: entry[k] for k in ("target", "precision", "size_bytes", "conversion_s", "tools")}
    timed = entry["target"] != "coreml"  # MIL's meaning is no speed of Core ML
    if data not in entry.get("verification", {}) or (timed and times is None):
        sys.exit(f"{entry['target']} {entry['precision']} was not verified on {data}, or not timed")
    if timed and times:
        kept |= {key: times[key] for key in ("p50_ms", "p90_ms")}
    return {**kept, "verification": entry["verification"][data]}


def ordered(found: dict) -> list:
    targets, precisions = ("tflite", "onnx", "coreml"), ("fp32", "fp16", "int8")
    return sorted(
        found.items(),
        key=lambda x: (targets.index(x[1]["target"]), precisions.index(x[1]["precision"])),
    )


def float_rows(test: dict) -> list[str]:
    rows = []
    for title, key, digits, resnet, fusion in FLOAT_ROWS:
        value, low, high = (f"{test[key][k]:.{digits}f}" for k in ("value", "low", "high"))
        rows.append(f"| {title} | **{value}** | {low} to {high} | {resnet} | {fusion} |")
    return rows


def class_rows(table: dict) -> list[str]:
    columns = ("precision", "SE", "SP", "YI")
    rows = [
        f"| {grade} | " + " | ".join(f"{table[c][i]:.3f}" for c in columns) + " |"
        for i, grade in enumerate(GRADES)
    ]
    return [*rows, "| mean | " + " | ".join(f"{table[f'mean_{c}']:.3f}" for c in columns) + " |"]


def file_row(name: str, entry: dict) -> str:
    start = f"| {name.rpartition('-')[2]} | {entry['size_bytes'] / 1e6:.2f} "
    start += f"| {entry['conversion_s']:.1f} |"
    found = entry["verification"]
    accuracy = found["metrics"]["severity_accuracy"]["change"]
    mae = found["metrics"]["count_mae"]["change"]
    points = {key: 100 * value for key, value in accuracy.items()}
    return (
        f"{start} {found['sqnr_db']:.1f} | {100 * found['equal_decisions']['severity']:.1f} % | "
        f"{points['value']:+.2f} [{points['low']:+.2f}, {points['high']:+.2f}] | "
        f"{mae['value']:+.3f} [{mae['low']:+.3f}, {mae['high']:+.3f}] | "
        + (f"{entry['p50_ms']:.2f} | {entry['p90_ms']:.2f} |" if "p50_ms" in entry else "| |")
    )


def fill(page: str, name: str, rows: list[str]) -> str:
    """Replace the rows of the table that is marked `<!-- name -->`."""
    pattern = rf"(<!-- {name} -->\n\|.*\n\|.*\n)(?:\|.*\n)*"
    return re.sub(pattern, lambda m: m.group(1) + "\n".join(rows) + "\n", page)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4])
