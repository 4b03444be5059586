"""The zoo as tables for people: Markdown that reads well as text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgeskin.benchmarks.peers.builds import Failure
from edgeskin.benchmarks.peers.int8_page import Row, compact_json, graph, grid, short
from edgeskin.benchmarks.peers.zoo import CALIBRATION, TEST
from edgeskin.benchmarks.peers.zoo_documents import (
    PRECISIONS,
    STOCK,
    TARGETS,
    ZooFile,
    ZooRecord,
    ZooResult,
    ZooTiming,
)
from edgeskin.benchmarks.peers.zoo_networks import NETWORKS
from edgeskin.converters.speed import SLOWER
from edgeskin.estimate import Estimate
from edgeskin.files import atomic
from edgeskin.formats import FORMATS


def save(result: ZooResult, page: Path) -> None:
    """Write the result as a page and, beside it, as JSON."""
    text = compact_json(result.to_json())
    for path, content in ((page, markdown(result)), (page.with_suffix(".json"), text)):
        with atomic(path, force=True) as fresh:
            fresh.write_text(content, encoding="utf-8")


def table(result: ZooResult) -> str:
    """The counts, both tables, what fails, and what is slower."""
    parts = [counts(result.networks), "## Agreement", _agreements(result.networks)]
    parts += ["## Time", _times(result.networks)]
    parts += ["## What fails", _list(_failures(result.networks), "Nothing.")]
    parts += ["## Where INT8 is slower than float", _list(_slower(result.networks), "Nowhere.")]
    return "\n\n".join(parts)


def counts(networks: Iterable[ZooRecord]) -> str:
    """How many networks there are in each format, and beside what."""
    records = list(networks)
    lines = [f"{len(records)} networks, {sum(r.merged > 0 for r in records)} with merged branches."]
    if absent := [n.family for n in NETWORKS.values() if n.name not in {r.name for r in records}]:
        lines[0] += f" Not measured yet: {', '.join(absent)}."
    for precision in reversed(PRECISIONS):
        each = {t: sum(_is_made(r, f"{t}-{precision}") for r in records) for t in TARGETS}
        everywhere = sum(all(_is_made(r, f"{t}-{precision}") for t in TARGETS) for r in records)
        listed = ", ".join(f"{FORMATS[t].title} {count}" for t, count in each.items())
        share = everywhere / max(1, len(records))
        lines.append(f"In {precision}: {listed}; in all three {everywhere} ({share:.0%}).")
    for target in STOCK:
        asked = sum(f"{target}-stock" in r.files for r in records)
        pairs = [ratios for r in records if (ratios := _ratio(r, target, "float"))]
        slower = sum(ratio.low > SLOWER for ratio in pairs)
        stock = sum(_is_made(r, f"{target}-stock") for r in records)
        lines.append(
            f"{FORMATS[target].title}: INT8 is slower than float in {slower} of {len(pairs)} "
            f"networks; the stock tool makes an INT8 file of {stock} of {asked}."
        )
    return "\n".join(f"- {line}" for line in lines)


def _is_made(record: ZooRecord, key: str) -> bool:
    return isinstance(record.files.get(key), ZooFile)


def _agreements(records: Iterable[ZooRecord]) -> str:
    head = ["network", "million weights", "pixels"]
    head += [f"{FORMATS[t].title} {p}" for p in reversed(PRECISIONS) for t in TARGETS]
    head += [f"{FORMATS[t].title} stock INT8" for t in STOCK]
    keys = [f"{t}-{p}" for p in reversed(PRECISIONS) for t in TARGETS]
    keys += [f"{t}-stock" for t in STOCK]
    rows = [[*_identity(record), *(_decibels(record, key) for key in keys)] for record in records]
    return grid(head, rows)


def _identity(record: ZooRecord) -> Row:
    millions = "" if record.parameters is None else f"{record.parameters / 1e6:.1f}"
    return [_title(record), millions, str(record.pixels)]


def _title(record: ZooRecord) -> str:
    return f"{record.family} (`{record.factory}`)"


def _decibels(record: ZooRecord, key: str) -> str:
    file = record.files.get(key)
    if isinstance(file, ZooFile):
        return f"{file.float_db:.1f}"
    return "" if file is None and record.failed is None else "fails"


def _times(records: Iterable[ZooRecord]) -> str:
    head = ["network"]
    for target in STOCK:
        head += [f"{FORMATS[target].title} float, ms", "INT8, ms", "INT8 to float", "INT8 to stock"]
    rows = [
        [_title(record), *(cell for target in STOCK for cell in _time_cells(record, target))]
        for record in records
        if record.timing
    ]
    return grid(head, rows)


def _time_cells(record: ZooRecord, target: str) -> Row:
    timing = record.timing.get(target)
    if not isinstance(timing, ZooTiming):
        return ["", "", "", ""]
    milliseconds = [f"{timing.p50_ms[name]:.2f}" for name in ("float", "edgeskin")]
    return [*milliseconds, *(_interval(record, target, name) for name in ("float", "stock"))]


def _ratio(record: ZooRecord, target: str, build: str) -> Estimate | None:
    timing = record.timing.get(target)
    return timing.ratios.get(build) if isinstance(timing, ZooTiming) else None


def _interval(record: ZooRecord, target: str, build: str) -> str:
    ratio = _ratio(record, target, build)
    return "" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _failures(records: Iterable[ZooRecord]) -> list[str]:
    """A line for each thing that is not there, with its reason."""
    lines = []
    for record in records:
        reasons = {} if record.failed is None else {"the network": record.failed}
        if isinstance(record.program, Failure):
            reasons["calibration"] = record.program.failed
        for key, file in record.files.items():
            if isinstance(file, Failure) and not file.failed.startswith("no program"):
                reasons[key] = file.failed
        for target, timing in record.timing.items():
            if isinstance(timing, Failure):
                reasons[f"timing of {target}"] = timing.failed
        lines += [f"{_title(record)}, {key}: {short(why)}" for key, why in reasons.items()]
    return lines


def _slower(records: Iterable[ZooRecord]) -> list[str]:
    """A line for each INT8 file that is slower than float, with what its runtime shows of it."""
    lines = []
    for record in records:
        for target in STOCK:
            ratio, timing = _ratio(record, target, "float"), record.timing.get(target)
            if ratio is None or ratio.low <= SLOWER or not isinstance(timing, ZooTiming):
                continue
            lines.append(
                f"{_title(record)}, {FORMATS[target].title}: {ratio.value:.2f} times float. "
                f"Left in float: {_in_float(record)}. The file: {graph(timing.operators)}."
            )
    return lines


def _in_float(record: ZooRecord) -> str:
    if record.program is None or isinstance(record.program, Failure):
        return "not known"
    counted = (f"{count} {name}" for name, count in record.program.in_float.items())
    return ", ".join(counted) or "nothing"


def _list(lines: list[str], nothing: str) -> str:
    return "\n".join(f"- {line}" for line in lines) or nothing


def markdown(result: ZooResult) -> str:
    """The page: what was measured, how, and the tables."""
    return _PAGE.format(
        processor=result.machine.processor,
        features=", ".join(result.machine.cpu_features) or "not known",
        system=result.machine.system,
        tools=", ".join(f"{name} {version}" for name, version in result.tools.items()),
        calibration=CALIBRATION,
        test=TEST,
        tables=table(result),
    )


_PAGE = """# The zoo: networks of every family
```
python -m edgeskin.benchmarks.peers zoo --out DIR --page docs/results/zoo.md
```
wrote this page and, beside it, zoo.json; every sample lies in DIR. The smallest network of each family of timm, torchvision and segmentation_models_pytorch, those made for phones first.

- **Machine:** {processor}, {system}; of use to integers: {features}. It was shared with other work all the while. Times are the process's CPU time on one thread, the files of a network taking turns in one process, so ratios bear that better than milliseconds do.
- **Tools:** {tools}.
- **Weights** are random from a fixed seed and settled: every layer gives values of deviation 1, batch norms hold the statistics of images, branches that start at nothing have their full weight. Random networks lose more in INT8 than trained ones do: compare a figure with the stock tool's beside it, not with a trained network's.
- **Merged branches:** RepVGG, MobileOne, FastViT, RepViT and others are trained as several branches that run as one. They are merged before calibration; what is merged must agree with the original to 90 dB.
- **edgeskin:** `calibrate(method="minmax")` on {calibration} synthetic images gives one program for all formats; `convert(io="tensor")`. A file counts as made if its audit finds what was asked and it agrees with what it was made from (fp32: 60 dB, INT8: 6 dB). Core ML is run by the interpreter of ML Programs that edgeskin brings, not by Apple's.
- **Stock INT8:** ai-edge-quantizer's `static_wi8_ai8` and ONNX Runtime's `quant_pre_process` and `quantize_static` (QDQ, per channel, uint8 activations) on the same images and of the same float network: as litert-torch converts it, and as edgeskin writes it, which is what torch's exporter gives.
- **Agreement** is SQNR in dB of the raw outputs beside the float network in PyTorch, on {test} other images.
- **Time:** ratios of medians with their 95 % bootstrap interval. Depthwise convolutions of more than 25 taps are bands of rows in edgeskin's TFLite files, float and INT8 (docs/decisions/0014): XNNPACK has no kernel for them. `edgeskin convert` times each INT8 file and says so.

{tables}
"""  # noqa: E501
