"""One network of the zoo: its run, its program and its files, in this process.

    python -m edgeskin.benchmarks.peers.zoo_files NAME FOLDER RECORD.json [stock]

The record is written again after every step, so that a crash or an end by the clock
loses one step and no more. With `stock` the others' tools quantize the float files.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from edgeskin.artifacts import Metadata
from edgeskin.benchmarks.peers import zoo
from edgeskin.benchmarks.peers.builds import Failure, brief
from edgeskin.benchmarks.peers.zoo_documents import (
    PRECISIONS,
    STOCK,
    TARGETS,
    ZooFile,
    ZooProgram,
    ZooRecord,
    blank,
)
from edgeskin.benchmarks.peers.zoo_networks import ZooNetwork, build_network, find_networks
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.program import save_program
from edgeskin.converters import to_tflite
from edgeskin.converters.audit.verdict import check
from edgeskin.converters.model import INPUT, Job, any_strides
from edgeskin.converters.parity.floors import FILE_DB
from edgeskin.converters.source import find_source
from edgeskin.document import Document
from edgeskin.errors import ConversionFailed
from edgeskin.files import atomic, size_bytes, write_json
from edgeskin.formats import FORMATS, open_session
from edgeskin.metrics import sqnr_db
from edgeskin.models.architectures import Foreign
from edgeskin.models.reparameterize import mergeable, reparameterized
from edgeskin.models.run import load_run, save_run
from edgeskin.predictor import to_floats, to_input
from edgeskin.spec import Spec

IMAGES = 24
"""Images that batch norms are settled on."""
METHOD = "minmax"
"""Scales as the stock tools find them."""
RUN, PROGRAM, SAMPLES = "run", "program.pt2", "samples.npz"
PLAIN = "plain.tflite"
"""litert-torch's file before edgeskin's rewrites."""
Made = TypeVar("Made", bound=Document)


@dataclass
class Desk:
    """A network's folder and its record, which is kept on disk as it grows."""

    network: ZooNetwork
    folder: Path
    path: Path
    record: ZooRecord = field(init=False)

    def __post_init__(self) -> None:
        self.record = blank(self.network)

    def note(self, **changes: Any) -> None:
        """Write the record with `changes`, and with the most memory that was used so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.record = self.record.model_copy(update={**changes, "peak_memory_bytes": peak})
        write_json(self.path, self.record.to_json())

    def note_file(self, key: str, file: ZooFile | Failure) -> None:
        self.note(files={**self.record.files, key: file})

    def file(self, target: str, precision: str) -> Path:
        return self.folder / FORMATS[target].file_name("network", precision)


def measure(desk: Desk) -> None:
    """Everything that this file's process makes of a network."""
    desk.note()
    run = _attempt(lambda: _make_run(desk))
    if isinstance(run, Failure):
        desk.note(failed=run.failed)
        return
    program = _attempt(lambda: _make_program(desk))
    desk.note(program=program)
    for precision in PRECISIONS:
        for target in TARGETS:
            if precision == "int8" and isinstance(program, Failure):
                file: ZooFile | Failure = Failure(failed=f"no program: {program.failed}")
            else:
                file = _attempt(partial(_convert, desk, target, precision))
            desk.note_file(f"{target}-{precision}", file)


def measure_stock(desk: Desk) -> None:
    """What the others' tools make of the float files."""
    for target in STOCK:
        key = f"{target}-fp32"
        lost = desk.record.files.get(key)
        if isinstance(lost, ZooFile):
            file = _attempt(partial(_quantize, desk, target))
        else:
            file = Failure(failed=f"no {key}: {lost.failed if lost else 'not made'}")
        desk.note_file(f"{target}-stock", file)


def _attempt(make: Callable[[], Made]) -> Made | Failure:
    """What `make` makes, or the line that says why not."""
    try:
        return make()
    except Exception as error:  # libraries raise types of their own; the log has the traceback
        import traceback

        traceback.print_exc()
        lines = str(error).strip().splitlines()
        line = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return Failure(failed=brief(line))


class _Ready(Document):
    """The run and the samples lie in the folder."""


def _make_run(desk: Desk) -> _Ready:
    """Build, settle, merge; write the run and its samples."""
    torch.manual_seed(0)
    network, spec = desk.network, desk.network.spec()
    module = build_network(network.library, network.factory, network.options, merged=False)
    names = tuple(head.name for head in spec.heads)
    zoo.settle(Foreign(module, names), _images(spec, IMAGES, seed=0))
    layers = mergeable(module)
    module = reparameterized(module, _images(spec, 1, seed=3))
    desk.note(merged=len(layers), parameters=_parameters(module))
    spec = network.spec(merged=bool(layers))
    save_run(desk.folder / RUN, spec, Foreign(module, names))
    (desk.folder / "spec.json").write_text(spec.to_json(indent=2) + "\n", encoding="utf-8")
    with atomic(desk.folder / SAMPLES, force=True) as fresh:
        zoo.make_samples(desk.folder, fresh)
    return _Ready()


def _images(spec: Spec, count: int, seed: int) -> torch.Tensor:
    return zoo.normalized(spec, zoo.pictures(spec.input, count, seed))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _make_program(desk: Desk) -> ZooProgram:
    run = load_run(desk.folder / RUN, trust=True)
    with np.load(desk.folder / SAMPLES) as samples:
        images, test, reference = (samples[k] for k in ("calibration", "test", "reference"))
    started = time.monotonic()
    program = calibrate_network(run.network, run.spec, images, method=METHOD)
    seconds = time.monotonic() - started
    save_program(desk.folder / PROGRAM, program)
    with torch.inference_mode():
        outputs = torch.cat([program.module(torch.from_numpy(x[None]))[0] for x in test])
    return ZooProgram(
        float_db=round(sqnr_db(reference, outputs.numpy()), 2),
        in_float=dict(program.calibration.float_operators),
        seconds=round(seconds, 1),
    )


def _convert(desk: Desk, target: str, precision: str) -> ZooFile:
    """Convert as `edgeskin convert` does, with the audit of the fresh file.

    Raises:
        ConversionFailed: It is not what was asked, or computes something else.
    """
    path, started = desk.file(target, precision), time.monotonic()
    job, calibration = _job(desk, precision)
    if target == "tflite" and precision == "fp32":  # the others' tool takes it as it is
        prepared = to_tflite.prepare(job)
        plain = to_tflite.lowered(prepared)
        if prepared is job:
            (desk.folder / PLAIN).write_bytes(plain)
        path.write_bytes(to_tflite.finished(plain, prepared))
    else:
        prepared = FORMATS[target].convert(job, path)
    check(job, path, calibration, prepared)
    seconds = time.monotonic() - started
    source_db, float_db = _agreement(desk, path, job.network)
    if not source_db >= FILE_DB[precision]:
        raise ConversionFailed(
            f"{target} {precision} agrees to {source_db:.1f} dB with what it was made from, at "
            f"least {FILE_DB[precision]:.0f} dB are expected"
        )
    return ZooFile(
        size_bytes=size_bytes(path),
        source_db=source_db,
        float_db=float_db,
        seconds=round(seconds, 1),
    )


def _job(desk: Desk, precision: str) -> tuple[Job, Mapping[str, Any]]:
    """The conversion of the network, and what calibration said of it."""
    loaded = find_source(desk.folder / (PROGRAM if precision == "int8" else RUN)).load(trust=True)
    metadata = Metadata(
        loaded.spec,
        "tensor",
        precision,  # type: ignore[arg-type]
        weights_sha256=loaded.weights_sha256,
    )
    return Job(loaded.network, metadata), loaded.calibration


def _quantize(desk: Desk, target: str) -> ZooFile:
    from edgeskin.benchmarks.peers import stock

    path, images = desk.folder / STOCK[target], stock.calibration(desk.folder)
    plain = desk.folder / PLAIN
    if target == "tflite" and not plain.is_file():  # edgeskin's own has other operators
        plain.write_bytes(to_tflite.lowered(_job(desk, "fp32")[0]))
    started = time.monotonic()
    if target == "tflite":
        stock.quantize_tflite(plain, INPUT, images, path)
    else:
        stock.quantize_onnx(desk.file(target, "fp32"), images, path, "QUInt8")
    seconds = round(time.monotonic() - started, 1)
    _, float_db = _agreement(desk, path, None)
    return ZooFile(size_bytes=size_bytes(path), float_db=float_db, seconds=seconds)


def _agreement(desk: Desk, path: Path, source: nn.Module | None) -> tuple[float, float]:
    """SQNR in dB of a file beside `source`, and beside the float network on the test images.

    `source` answers for the first of them alone: a QDQ graph is slow in PyTorch.
    """
    with np.load(desk.folder / SAMPLES) as arrays:
        test, reference = arrays["test"], arrays["reference"]
    with open_session(path, threads=1) as session:
        image, out = session.inputs[0], session.outputs[0]
        outputs = [
            to_floats(session.run({image.name: to_input(x[None], image)})[out.name], out)
            for x in test
        ]
    float_db = sqnr_db(reference, np.concatenate(outputs))
    if source is None:
        return float_db, round(float_db, 2)
    with torch.inference_mode():
        expected = any_strides(source)(torch.from_numpy(test[:1]))[0].numpy()
    return round(sqnr_db(expected, outputs[0]), 2), round(float_db, 2)


def main() -> None:
    torch.set_num_threads(1)
    (network,) = find_networks(sys.argv[1])
    desk = Desk(network, Path(sys.argv[2]), Path(sys.argv[3]))
    measure(desk)
    if "stock" in sys.argv[4:] and desk.record.failed is None:
        measure_stock(desk)


if __name__ == "__main__":
    main()
