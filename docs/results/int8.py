r"""Writes the table of int8.md, and int8.json, from what was measured.

python -m edgeskin.benchmarks.peers accuracy RUN ptq=PTQ.pt2 qat0=SEED0.pt2 ... \
        --data DATA --out DIR --json > MODEL.json
python docs/results/int8.py MODEL.json...
"""

import json
import re
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).parent
METRICS = ("label_balanced_accuracy", "severity_accuracy")
FILES = {
    "float": "float",
    "stock": "stock",
    "stock_x86": "stock, uint8",
    "ptq": "edgeskin PTQ",
    "qat": "edgeskin QAT",
}
RUNTIMES = {"litert": "LiteRT", "onnx": "ONNX Runtime"}


def main(paths: list[Path]) -> None:
    found = [json.loads(path.read_text()) for path in paths]
    text = json.dumps(found, indent=1)
    lists = re.sub(r"\[[\s\d.,e+-]+\]", lambda m: " ".join(m[0].split()), text)
    (HERE / "int8.json").write_text(lists + "\n")
    page = (HERE / "int8.md").read_text()
    rows = "\n".join(row for model in found for row in model_rows(model))
    page = re.sub(
        r"(<!-- accuracy -->\n\|.*\n\|.*\n)(?:\|.*\n)*", lambda m: m[1] + rows + "\n", page
    )
    (HERE / "int8.md").write_text(page)


def model_rows(model: dict) -> list[str]:
    metric = next(name for name in METRICS if name in model["float"])
    value = 100 * model["float"][metric]["value"]
    rows = [
        f"| **{model['run']['name']}**, {model['test_images']} images | | {value:.1f} | | | | |"
    ]
    for runtime, files in model["runtimes"].items():
        for name, title in FILES.items():
            entries = [e for file, e in files.items() if re.fullmatch(rf"{name}\d?", file)]
            if entries:
                rows.append(row(f"{RUNTIMES[runtime]} | {title}", metric, entries))
    return rows


def row(start: str, metric: str, entries: list[dict]) -> str:
    """One file, or the seeds of one: the mean, and in brackets each seed or the interval."""
    if "failed" in entries[0]:
        return f"| {start} | failed: {entries[0]['failed'][:80]} | | | | |"
    found = [entry["metrics"][metric] for entry in entries]
    changes = [100 * m["change"]["value"] for m in found]
    value = 100 * statistics.mean(m["candidate"] for m in found)
    if len(entries) == 1:
        low, high = (100 * found[0]["change"][end] for end in ("low", "high"))
        around = f"[{low:+.1f}, {high:+.1f}]"
    else:
        low = 100 * min(m["change"]["low"] for m in found)
        high = 100 * max(m["change"]["high"] for m in found)
        each = ", ".join(f"{change:+.1f}" for change in changes)
        around = f"({each}) [{low:+.1f}, {high:+.1f}]"
    sqnr = statistics.mean(min(entry["sqnr_db"].values()) for entry in entries)
    size = entries[0]["size_bytes"] / 1e6
    time = statistics.median(entry["p50_ms"] for entry in entries)
    mean = statistics.mean(changes)
    return (
        f"| {start} | {value:.1f} | {mean:+.1f} {around} | {sqnr:.1f} | {size:.2f} | {time:.2f} |"
    )


if __name__ == "__main__":
    main([Path(path) for path in sys.argv[1:]])
