"""Why an artifact disagrees: the mistakes that are made with models, tried one by one.

A file that swaps red and blue agrees to the last decibel with a reference that
is given red and blue swapped. So the reference is run once as each known
mistake would run it, and the mistake that agrees far better than no mistake is
named. The errors of a sound file (rounding, quantization) have nothing to do
with any of them: a mistake in the reference adds to them, as noise adds to noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.converters.parity.documents import Explanation
from edgeskin.converters.parity.reference import Model, of_network
from edgeskin.errors import ShapeMismatch
from edgeskin.postprocess import Outputs, activation_of, decode
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    InputSpec,
    RegressionHead,
    SegmentationHead,
    Spec,
    TensorHead,
)

if TYPE_CHECKING:
    from torch import nn

Pixels = NDArray[Any]
"""(N, H, W, 3), of 0 to 255: uint8 where values only move, else float32."""
IMAGES = 8
MARGIN_DB = 6.0
"""A named mistake must cut the noise to a quarter of its power. Against a sound file the
noise of a mistake comes on top, so that it never wins; four is far from chance."""
CLEAR_DB = 40.0
"""Noise of 1 % of the answers' size: no mistake of the table is so small."""
EXPLAINED_DB = {"fp32": CLEAR_DB, "fp16": 30.0, "int8": 10.0}
"""With the mistake that a file really makes, what is left is its precision's own rounding. Less
agreement explains nothing, however much better than none it is."""

TOLD_APART_DB = 30.0
"""A mistake that moves the answers by less than 3 % of their size (mean and std of 127 and 128
for those of 127.5, for instance) is as large as the rounding of an INT8 file, and by chance points
the same way: no INT8 file is refused for it."""

NEARLY_DB = 15.0
"""Undoing normalisation to make a mistake, and making it, round as well."""

NONE_FITS = (
    "No mistake with channels, layout, mean and std or outputs explains it: other weights, other "
    "batch norm statistics or a broken layer; --layers shows where it begins"
)

NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "of ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "for values of -1 to 1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "for values of 0 to 1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "of CLIP": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}


def _denormalized(x: Pixels, spec: InputSpec) -> Pixels:
    """The pixels, float32, that the spec's normalisation makes `x` of."""
    mean, std = (np.asarray(values, np.float32) for values in (spec.mean, spec.std))
    return ((x * std + mean) * 255.0).astype(np.float32)


def _normalized(pixels: Pixels, mean: Any, std: Any) -> Pixels:
    return (pixels.astype(np.float32) / 255.0 - np.float32(mean)) / np.float32(std)


def _swapped_behind(pixels: Pixels, spec: InputSpec) -> Pixels:
    return _denormalized(_normalized(pixels, spec.mean, spec.std)[..., ::-1], spec)


def _twice(pixels: Pixels, spec: InputSpec) -> Pixels:
    return _normalized(pixels, spec.mean, spec.std) * np.float32(255.0)


def _nhwc_as_nchw(pixels: Pixels, spec: InputSpec) -> Pixels:
    n, height, width, _ = pixels.shape
    return pixels.reshape(n, 3, height, width).transpose(0, 2, 3, 1)


def _by_columns(pixels: Pixels, spec: InputSpec) -> Pixels:
    return pixels.transpose(0, 2, 1, 3).reshape(pixels.shape)


def _other(mean: Any, std: Any, pixels: Pixels, spec: InputSpec) -> Pixels:
    return _denormalized(_normalized(pixels, mean, std), spec)


INPUTS: dict[str, Callable[[Pixels, InputSpec], Pixels]] = {
    "red and blue are swapped": lambda pixels, spec: pixels[..., ::-1],
    "red and blue are swapped behind mean and std": _swapped_behind,
    "mean and std are applied twice": _twice,
    "values of 0 to 255 are taken for 0 to 1": lambda p, s: p.astype(np.float32) * 255.0,
    "values are divided by 255 twice": lambda p, s: p.astype(np.float32) / 255.0,
    "NHWC data is read as NCHW": _nhwc_as_nchw,
    "NCHW data is read as NHWC": lambda p, s: p.transpose(0, 3, 1, 2).reshape(p.shape),
    "width and height are swapped": _by_columns,
    "the image is upside down": lambda pixels, spec: pixels[:, ::-1],
    **{
        f"mean and std are those {name}": partial(_other, mean, std)
        for name, (mean, std) in NORMALIZATIONS.items()
    },
}
"""What an app or a converter does to the input by mistake, as pixels that do the same."""


def explain(
    model: Model, pixels: NDArray[np.uint8], outputs: Outputs, precision: str, floor_db: float
) -> Explanation | None:
    """The mistake with which the reference agrees with `outputs`: at least by `MARGIN_DB` more.

    Args:
        model: The reference; of one without a network, inputs are not normalised anew.
        pixels: uint8 (N, H, W, 3); the first `IMAGES` are used.
        outputs: Those of the artifact, decoded.
        precision: Of the artifact; see `EXPLAINED_DB`.
        floor_db: What a sound file reaches; with its cause, a wrong one nearly does.
    """
    pixels, outputs = pixels[:IMAGES], {name: x[:IMAGES] for name, x in outputs.items()}
    expected = model.run_all(pixels)
    as_said_db = least_sqnr_db(expected, outputs)
    best_db, name = as_said_db, ""
    for mistake, with_mistake, answers in _alternatives(model, pixels, expected, outputs):
        moves = with_mistake is not expected  # else the artifact's answers are read otherwise
        if precision == "int8" and moves and least_sqnr_db(expected, with_mistake) > TOLD_APART_DB:
            continue
        sqnr_db = least_sqnr_db(with_mistake, answers)
        if sqnr_db > best_db:
            best_db, name = sqnr_db, mistake
    needed_db = max(EXPLAINED_DB[precision], as_said_db + MARGIN_DB, floor_db - NEARLY_DB)
    return _explanation(name, best_db, as_said_db) if best_db >= needed_db and name else None


def _explanation(name: str, sqnr_db: float, as_said_db: float) -> Explanation:
    line = (
        f"{name}: with a reference that does so the SQNR is {sqnr_db:.1f} dB, "
        f"as the spec says {as_said_db:.1f} dB"
    )
    return Explanation(name=name, sqnr_db=sqnr_db, as_said_db=as_said_db, line=line)


def least_sqnr_db(expected: Outputs, outputs: Outputs) -> float:
    """Of the worst output, in decibels; -inf where shapes differ or a value is no number."""
    if any(outputs[name].shape != x.shape for name, x in expected.items()):
        return -np.inf
    worst = min(metrics.sqnr_db(x, outputs[name]) for name, x in expected.items())
    sums = [float(np.sum(outputs[name])) for name in expected]
    return worst if np.isfinite(sums).all() else -np.inf


def _alternatives(
    model: Model, pixels: Pixels, expected: Outputs, outputs: Outputs
) -> Iterator[tuple[str, Outputs, Outputs]]:
    """(mistake, what the reference says with it, what the artifact says)."""
    for name, change in INPUTS.items():
        changed = np.ascontiguousarray(change(pixels, model.spec.input))
        if model.network is not None or changed.dtype == np.uint8:
            yield name, model.run_all(changed), outputs
    if (reset := _without_statistics(model)) is not None:
        yield "batch norm has its initial statistics", reset.run_all(pixels), outputs
    what = _decoders(model.spec)
    yield f"{what} is applied twice", _decoded_again(model.spec, expected), outputs
    yield f"{what} is missing", expected, _decoded_again(model.spec, outputs)
    for a, b in combinations(expected, 2):
        swapped = {**outputs, a: outputs[b], b: outputs[a]}
        yield f"the outputs '{a}' and '{b}' are swapped", expected, swapped
    for head in model.spec.heads:
        if isinstance(head, ClassificationHead | SegmentationHead):
            order = _order(expected[head.name], outputs[head.name])
            if order is not None:
                labels = ", ".join(head.labels[i] for i in order)
                sorted_ = outputs[head.name][..., np.argsort(order)]
                name = f"the classes of '{head.name}' come in another order, {labels}"
                yield name, expected, {**outputs, head.name: sorted_}


def _decoders(spec: Spec) -> str:
    """What turns raw heads into decoded ones: `softmax`, `softmax or sigmoid`."""
    names: set[str] = set()
    for head in spec.heads:
        if activation := activation_of(head):
            names.add(activation)
        elif isinstance(head, EmbeddingHead) and head.normalize == "l2":
            names.add("the division by the norm")
    return " or ".join(sorted(names, key=len)) or "decoding"


def _decoded_again(spec: Spec, outputs: Outputs) -> Outputs:
    """Decoded outputs, decoded once more as if they were raw."""
    raw: dict[str, NDArray[Any]] = {}
    for head in spec.heads:
        x = outputs[head.name]
        match head:
            case ClassificationHead() | EmbeddingHead() | TensorHead():
                raw[head.name] = x
            case DistributionHead():
                raw[head.name] = outputs[f"{head.name}_distribution"]
            case SegmentationHead():
                raw[head.name] = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
            case RegressionHead():
                raw[head.name] = (x - head.offset) / head.scale
    return decode(spec, raw)


def _order(expected: NDArray[Any], outputs: NDArray[Any]) -> NDArray[np.intp] | None:
    """Which class stands at each place of `outputs`, by least squares; None for the right order."""
    if expected.shape != outputs.shape:
        return None
    columns, places = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (expected, outputs))
    distance = ((places[:, :, None] - columns[:, None, :]) ** 2).sum(axis=0)
    order = distance.argmin(axis=1)
    right = np.array_equal(order, np.arange(len(order)))
    return None if right or len(set(order)) < len(order) else order


def _without_statistics(model: Model) -> Model | None:
    """The network with mean 0 and variance 1 in every batch norm; None where it has none."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if model.network is None or not any(isinstance(m, _BatchNorm) for m in model.network.modules()):
        return None
    network: nn.Module = copy.deepcopy(model.network)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
    return of_network(model.name, model.spec, network, model.sha256)


def check_shapes(expected: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    """Check that outputs have the shapes of the reference's, but for the number of images.

    Raises:
        ShapeMismatch: An output has another shape; of which other output, where that is so.
    """
    for name, x in expected.items():
        wanted, shape = x.shape[1:], outputs[name].shape[1:]
        if shape == wanted:
            continue
        like = next((n for n, y in expected.items() if y.shape[1:] == shape), None)
        why = f"That is the shape of '{like}': the outputs look swapped. " if like else ""
        raise ShapeMismatch(
            f"output '{name}' has the shape {shape}, the reference's {wanted}. {why}"
            "Convert it again from the run."
        )
