"""The result of `int8.measure` as tables for people: Markdown that reads well as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgeskin.benchmarks.peers.builds import Failure
from edgeskin.benchmarks.peers.int8 import AIMS, Int8Result, RuntimeResult
from edgeskin.estimate import Estimate
from edgeskin.files import atomic

NAMES = {"litert": "LiteRT with XNNPACK", "onnx": "ONNX Runtime, CPU"}
BUILDS = {
    "float": "float",
    "stock": "stock INT8",
    "stock_x86": "stock INT8, uint8",
    "edgeskin": "edgeskin INT8",
}
_AIMED = ("float", "stock")
_FILE_HEAD = ("p90, ms", "MB", "SQNR, dB", "ends", "graph")
NOTICED = 0.05
"""From this share on, a clock that ran longer than the work did is worth a remark."""
Row = list[str]


def save(result: Int8Result, page: Path) -> None:
    """Write the result as a page and, beside it, as JSON with every sample."""
    text = compact_json(result.to_json())
    for path, content in ((page, markdown(result)), (page.with_suffix(".json"), text)):
        with atomic(path, force=True) as fresh:
            fresh.write_text(content, encoding="utf-8")


def compact_json(document: Any) -> str:
    """Indented, but each list of numbers on one line."""
    text = json.dumps(document, indent=1)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda found: " ".join(found[0].split()), text) + "\n"


def table(result: Int8Result) -> str:
    """Speed and files, a pair of tables for each runtime."""
    runtimes = dict.fromkeys(n for m in result.models.values() for n in m.runtimes)
    return "\n\n".join(_runtime(result, name) for name in runtimes)


def markdown(result: Int8Result) -> str:
    """The page: what was measured, how, and the tables."""
    return _PAGE.format(
        models=", ".join(model.title for model in result.models.values()),
        processor=result.machine.processor,
        features=", ".join(result.machine.cpu_features) or "not known",
        system=result.machine.system,
        tools=", ".join(f"{name} {version}" for name, version in result.tools.items()),
        rounds=result.rounds,
        warmup=result.warmup_rounds,
        calibration=result.calibration_images,
        test=result.test_images,
        tables=table(result),
    )


_PAGE = """# INT8 side by side with its peers
```
python -m edgeskin.benchmarks.peers int8 --page docs/results/peers-int8.md
```
wrote this page and, with every sample, peers-int8.json beside it. {models}; 224 x 224, batch 1.

- **Machine:** {processor}, {system}; of use to integers: {features}.
- **Tools:** {tools}.
- **Weights** are random from a fixed seed; batch norms hold the statistics of images, and each logit has mean 0 over them, so that SQNR says how well what tells images apart survives. Random networks lose more than trained ones do. The kernels are dense: they do the same work whatever the weights.
- **float:** litert-torch with a channels-last input; torch's ONNX exporter, ONNX Runtime's own optimisation.
- **stock INT8:** ai-edge-quantizer's `static_wi8_ai8` on the float file; ONNX Runtime's `quant_pre_process` and `quantize_static` (QDQ, per channel) with its default int8 activations, and with uint8 ones as its documentation says for x86.
- **edgeskin INT8:** `calibrate(method="minmax")`, then `convert(io="tensor")`: one program for both runtimes.
- The same {calibration} synthetic images calibrate all. The input is NHWC on LiteRT, NCHW on ONNX Runtime. Each file is fed and read in its own types (the column "ends"): on LiteRT every INT8 file takes and gives int8, as both tools make them. Copies of input and output count.
- **Times** are medians of {rounds} rounds after {warmup} of warm-up, one thread, the files of a model taking turns in one process; each turn is two inferences, the second counts. They are CPU time of the process, which is the time on the clock of an idle machine. Ratios of medians have a 95 % bootstrap interval over rounds; an aim is met where the ratio is not above it.
- **SQNR** is against the float network in PyTorch, on {test} other images.

{tables}
"""  # noqa: E501


def _runtime(result: Int8Result, name: str) -> str:
    models = {
        key: (model.title, model.runtimes[name])
        for key, model in result.models.items()
        if name in model.runtimes
    }
    others = [b for b in next(iter(models.values()))[1].builds if b != "edgeskin"]
    head = ["model", *(f"{BUILDS[b]}, ms" for b in (*others, "edgeskin"))]
    head += [title for b in others for title in (f"to {BUILDS[b]}", "aim")[: 1 + (b in _AIMED)]]
    speeds = [
        [title, *_times(found, others), *_ratios(found, others, AIMS.get(key, {}).get(name))]
        for key, (title, found) in models.items()
    ]
    files = [row for title, found in models.values() for row in _files(title, found)]
    parts = [f"## {NAMES[name]}", grid(head, speeds), *_remarks(models.values())]
    return "\n\n".join([*parts, grid(["model", "file", *_FILE_HEAD], files)])


def _times(result: RuntimeResult, others: list[str]) -> Row:
    builds = [result.builds[name] for name in (*others, "edgeskin")]
    return ["failed" if isinstance(b, Failure) else f"{b.p50_ms:.3f}" for b in builds]


def _ratios(result: RuntimeResult, others: list[str], aims: tuple[float, float] | None) -> Row:
    """A ratio with its interval for each other build, and the aim behind it where there is one."""
    cells = []
    for name in others:
        r = result.ratios.get(f"to_{name}")
        cells.append("" if r is None else f"{r.value:.3f} [{r.low:.3f}, {r.high:.3f}]")
        if name in _AIMED:
            aim = aims[_AIMED.index(name)] if aims else None
            cells.append("" if aim is None else f"{aim:.2f}{_verdict(r, aim)}")
    return cells


def _verdict(ratio: Estimate | None, aim: float) -> str:
    if ratio is None:
        return ""
    return ", met" if ratio.value <= aim else ", **missed**"


def _files(title: str, result: RuntimeResult) -> list[Row]:
    rows = []
    for name, build in result.builds.items():
        if isinstance(build, Failure):
            rows.append([title, BUILDS[name], "", "", "", "", short(build.failed)])
            continue
        megabytes = f"{build.size_bytes / 1e6:.2f}"
        agreement = f"{build.sqnr_db:.1f}"
        ends = f"{build.input.partition(' ')[0]}, {build.output}"
        row = [f"{build.p90_ms:.3f}", megabytes, agreement, ends, graph(build.operators)]
        rows.append([title, BUILDS[name], *row])
    return rows


def short(reason: str) -> str:
    """It stands whole in the JSON; a bar would end the cell."""
    reason = reason.replace("|", "/")
    return reason if len(reason) <= 120 else f"{reason[:117]}..."


def graph(operators: dict[str, int]) -> str:
    """The operators that tell how well a file fits its runtime, counted."""
    return ", ".join(
        f"{count} {name}"
        for name, kinds in _GRAPH.items()
        if (count := sum(n for op, n in operators.items() if op.startswith(kinds)))
    )


_GRAPH = {
    "XNNPACK partitions": ("DELEGATE",),
    "TRANSPOSE": ("TRANSPOSE", "Transpose"),
    "QUANTIZE": ("QUANTIZE", "QuantizeLinear"),
    "DEQUANTIZE": ("DEQUANTIZE", "DequantizeLinear"),
    "integer": ("QLinear", "QGemm", "MatMulInteger", "DynamicQuantize"),
    "float convolutions and products": ("Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul"),
}


def _remarks(results: Iterable[tuple[str, RuntimeResult]]) -> list[str]:
    """How busy the machine was with other things, where that showed."""
    shares = [
        build.wall_p50_ms / build.p50_ms - 1
        for _, runtime in results
        for build in runtime.builds.values()
        if not isinstance(build, Failure)
    ]
    if not shares or max(shares) < NOTICED:
        return []
    return [
        "Other processes had the core at times: medians on the clock are up to "
        f"{max(shares):.0%} longer than these."
    ]


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    ruled = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in ruled)
