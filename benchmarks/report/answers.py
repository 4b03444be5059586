"""What a result computed of each image, beside what its pack knows of the same images."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.pipeline_pack import PipelinePack
from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.result import PipelineResult
from edgeskin.errors import InvalidResult
from edgeskin.measured import read_measured
from edgeskin.postprocess import Outputs


@dataclass(frozen=True, eq=False)
class Answers:
    """A result's answers.

    Attributes:
        images: Which of the pack's images they are of, by number, rising, (N,): all of them, or
            those that a pipeline answers as the float pipeline does.
        pack: Of these images alone; of a pipeline with the last stage's spec, labels and outputs.
        outputs: Decoded, N rows.
        pipeline: The whole pack of a pipeline; None of one model.
    """

    images: NDArray[np.intp]
    pack: Pack
    outputs: Outputs
    pipeline: PipelinePack | None = None


def has_outputs(found: Found) -> bool:
    """Whether the `.npz` that `bench` wrote is beside the result."""
    return found.path.with_suffix(".npz").is_file()


def outputs_of(found: Found) -> tuple[NDArray[np.intp], dict[str, NDArray[Any]]]:
    """Which of the pack's images have outputs, by number, and these.

    Raises:
        InvalidResult: The file beside the result is missing or damaged, or of other images.
    """
    if not isinstance(found.result, PipelineResult):
        measured = read_measured(found.path)
        return np.arange(len(measured.images)), measured.outputs
    path = found.path.with_suffix(".npz")
    try:
        with path.open("rb") as file:
            outputs = dict(np.load(file, allow_pickle=False))
        images = outputs.pop("image")
        if any(len(values) != len(images) for values in outputs.values()):
            raise ValueError("its outputs are not one an image")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InvalidResult(f"{path} is damaged ({error}). Measure it again") from error
    return images, outputs


def answers_of(found: Found, pack: Pack) -> Answers:
    """The answers of a result that was measured on `pack`.

    Raises:
        InvalidResult: The outputs are damaged, or not those of the pack's model and images.
    """
    images, outputs = outputs_of(found)
    if not isinstance(found.result, PipelineResult):
        _check(found, pack, images, outputs)
        return Answers(images, pack, outputs)
    if not isinstance(pack, PipelinePack) or not _answered(images, pack):
        raise InvalidResult(f"{found.path} has outputs of other images than its pack's")
    end = pack.end_pack(images)
    _check(found, end, images, outputs)
    return Answers(images, end, outputs, pack)


def _answered(images: NDArray[np.intp], pack: PipelinePack) -> bool:
    inside = len(images) > 0 and images.min() >= 0 and images.max() < len(pack)
    return inside and bool((np.diff(images) > 0).all() and pack.answered[images].all())


def _check(found: Found, pack: Pack, images: NDArray[np.intp], outputs: Outputs) -> None:
    """Refuse outputs of other names, shapes or numbers than the float model's."""
    expected = {name: values.shape for name, values in pack.reference.items()}
    if len(images) != len(pack) or {n: v.shape for n, v in outputs.items()} != expected:
        raise InvalidResult(
            f"the outputs beside {found.path} are not those of its pack's model: measure it again"
        )
