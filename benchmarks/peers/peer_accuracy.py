"""What INT8 costs a trained model: edgeskin's programs beside the stock tools, on a test split.

Every tool is given the same calibration images, from the train split. The
reference is the float run in PyTorch; changes are paired over the test images.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.peers.builds import Failure, Tell, build, provide, tool_versions
from edgeskin.benchmarks.peers.setting import RunIdentity, Setting, machine
from edgeskin.calibration.from_run import calibration_set
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.converters.convert import convert_files
from edgeskin.converters.options import ConversionOptions
from edgeskin.data.manifest import load_split, open_data
from edgeskin.document import Document
from edgeskin.errors import InvalidData, ShapeMismatch
from edgeskin.evaluation import MetricChange, Truth, compare, evaluate
from edgeskin.figures import Evaluation
from edgeskin.formats import open_session
from edgeskin.metrics import sqnr_db
from edgeskin.models.app_model import AppModel
from edgeskin.models.run import Run, load_run
from edgeskin.postprocess import decode
from edgeskin.predictor import to_floats, to_input
from edgeskin.runtimes import Session
from edgeskin.spec import Spec
from edgeskin.timing import interleave

STOCK = {
    "litert": {"float": "litert-float.tflite", "stock": "litert-stock.tflite"},
    "onnx": {
        "float": "onnx-float.onnx",
        "stock": "onnx-stock.onnx",
        "stock_x86": "onnx-stock_x86.onnx",
    },
}
_TARGETS = {"litert": "tflite", "onnx": "onnx"}
ROUNDS, WARM_UP = 100, 10
Raw = dict[str, NDArray[np.float32]]


class FileAccuracy(Document):
    """What one file of a run loses and costs; `sqnr_db` is of each raw head."""

    size_bytes: int
    sqnr_db: dict[str, float]
    metrics: dict[str, MetricChange]
    p50_ms: float
    cpu_ms: tuple[float, ...]
    wall_ms: tuple[float, ...]


class AccuracyResult(Setting):
    """The float run's metrics, and every file of each runtime held against it."""

    float: Evaluation
    runtimes: dict[str, dict[str, FileAccuracy | Failure]]


def measure(
    source: Path, data: Path, programs: Mapping[str, Path], out: Path, tell: Tell
) -> AccuracyResult:
    """Build what is missing in `out`, run everything on the test split, and time it.

    Args:
        programs: `.pt2` files of the run by the name of their row.
    """
    run, test = load_run(source), load_split(data, "test")
    out.mkdir(parents=True, exist_ok=True)
    failed = _build_stock(source, run, data, out, tell)
    files = _stock_files(out, failed)
    for name, program in programs.items():
        tell(f"converting {program.name}")
        for runtime, target in _TARGETS.items():
            folder = out / name
            options = ConversionOptions(io="tensor", timing=False)
            made = convert_files(program, [target], ["int8"], folder, options, force=True)
            files[runtime][name] = made[0].path
    tell(f"{len(test)} test images")
    images = AppModel(_nothing(), run.spec).normalize(_tensor(test.pixels(run.spec.input)))
    truth, reference = test.truth(run.spec), _reference(run, images)
    results: dict[str, dict[str, FileAccuracy | Failure]] = {
        runtime: dict(_on_runtime(run.spec, paths, images.numpy(), reference, truth, tell))
        for runtime, paths in files.items()
    }
    for name, reason in failed.items():
        results[name.partition("-")[0]][name] = Failure(failed=reason)
    return AccuracyResult(
        run=RunIdentity(name=source.name, sha256=run.sha256),
        data=data.resolve().name,
        test_images=len(test),
        calibration_images=min(CalibrationOptions().samples, len(load_split(data, "train"))),
        machine=machine(),
        tools=tool_versions(),
        float=evaluate(run.spec, decode(run.spec, reference), truth),
        runtimes=results,
    )


def _build_stock(source: Path, run: Run, data: Path, out: Path, tell: Tell) -> dict[str, str]:
    """The float and stock files of the run; what failed, and why."""
    stock = out / "stock"
    if stock.exists() and load_run(stock / "run").sha256 != run.sha256:
        raise InvalidData(f"{out} holds the files of another run. Give each run a folder.")
    if not stock.exists():
        shutil.copytree(source, stock / "run")
        pixels = calibration_set(open_data(data), CalibrationOptions().samples).pixels(
            run.spec.input
        )
        np.savez(stock / "samples.npz", calibration=pixels)
    provide(stock, run.spec, ("run", "samples.npz"))
    return build(run.spec, stock, [f for files in STOCK.values() for f in files.values()], tell)


def _stock_files(out: Path, failed: Mapping[str, str]) -> dict[str, dict[str, Path]]:
    return {
        runtime: {name: out / "stock" / f for name, f in files.items() if f not in failed}
        for runtime, files in STOCK.items()
    }


def _nothing() -> Any:
    from torch import nn

    return nn.Identity()


def _tensor(pixels: NDArray[np.uint8]) -> Any:
    import torch

    return torch.from_numpy(pixels)


def _reference(run: Run, images: Any) -> Raw:
    """Raw heads of the float network for float32 (N, 3, H, W)."""
    import torch

    with torch.inference_mode():
        rows = [run.network(image[None].contiguous()) for image in images]
    stacked = (torch.cat(head).numpy() for head in zip(*rows, strict=True))
    return dict(zip((h.name for h in run.spec.heads), stacked, strict=True))


def _on_runtime(
    spec: Spec,
    files: Mapping[str, Path],
    images: NDArray[np.float32],
    reference: Raw,
    truth: Truth,
    tell: Tell,
) -> dict[str, FileAccuracy]:
    expected = decode(spec, reference)
    with ExitStack() as stack:
        sessions = {
            name: stack.enter_context(open_session(path, threads=1)) for name, path in files.items()
        }
        raw = {}
        for name, session in sessions.items():
            tell(f"running {name}")
            raw[name] = _run_all(session, images, reference)
        turns = {name: _turn(session, images[0]) for name, session in sessions.items()}
        times = interleave(turns, ROUNDS, WARM_UP)
    return {
        name: FileAccuracy(
            size_bytes=path.stat().st_size,
            sqnr_db={h: round(sqnr_db(reference[h], out), 2) for h, out in raw[name].items()},
            metrics=compare(spec, expected, decode(spec, raw[name]), truth),
            p50_ms=round(float(np.median(times[name]["cpu_ms"])), 4),
            cpu_ms=tuple(times[name]["cpu_ms"]),
            wall_ms=tuple(times[name]["wall_ms"]),
        )
        for name, path in files.items()
    }


def _turn(session: Session, image: NDArray[np.float32]) -> Any:
    given = session.inputs[0]
    feeds = {given.name: to_input(image[None], given)}
    return lambda: session.run(feeds)


def _run_all(session: Session, images: NDArray[np.float32], reference: Raw) -> Raw:
    """Raw heads (N, ...) of every image; outputs are known by their shape."""
    given = session.inputs[0]
    named = {out.name: _head_of(out.shape, reference) for out in session.outputs}
    rows: dict[str, list[NDArray[np.float32]]] = {head: [] for head in reference}
    for image in images:
        got = session.run({given.name: to_input(image[None], given)})
        for out in session.outputs:
            rows[named[out.name]].append(to_floats(got[out.name], out))
    return {head: np.concatenate(values) for head, values in rows.items()}


def _head_of(shape: tuple[int, ...], reference: Raw) -> str:
    fitting = [head for head, values in reference.items() if values.shape[1:] == shape[1:]]
    if len(fitting) != 1:
        raise ShapeMismatch(f"an output of shape {shape} fits {len(fitting)} heads, not one")
    return fitting[0]


def table(result: AccuracyResult) -> str:
    """Each file in a line: SQNR, the change of each ratio metric in points, size, time."""
    lines = [f"{result.run.name}, {result.test_images} test images of {result.data}"]
    for runtime, files in result.runtimes.items():
        for name, entry in files.items():
            lines.append(f"  {runtime:<7}{name:<12}{row(entry)}")
    return "\n".join(lines)


def row(entry: FileAccuracy | Failure) -> str:
    if isinstance(entry, Failure):
        return f"failed: {entry.failed}"
    changes = [
        f"{name} {100 * m.candidate:.1f} ({100 * m.change.value:+.1f} "
        f"[{100 * m.change.low:+.1f}, {100 * m.change.high:+.1f}])"
        for name, m in entry.metrics.items()
        if m.unit == "ratio"
    ]
    worst = min(entry.sqnr_db.values())
    return (
        f"{worst:6.1f} dB  {'  '.join(changes)}  {entry.size_bytes / 1e6:.2f} MB  "
        f"{entry.p50_ms:.2f} ms"
    )
