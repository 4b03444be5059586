"""A model's outputs to answers: classes, quantities, masks, boxes. One C call each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidInput
from edgeskin.native.core import TYPES, as_array, c_mask, check, code, ffi, lib, pointer
from edgeskin.native.inputs import Placement, workspace

Activation = Literal["no_activation", "softmax", "sigmoid"]
OUTSIDE = 255  # mask value of pixels that the model did not see
_NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}


@dataclass(frozen=True)
class Tensor:
    """A model's output; int8 and uint8 stand for scale * (q - zero_point)."""

    values: Any
    scale: float = 0.0
    zero_point: int = 0

    def _fill(self, tensor: Any) -> NDArray[Any]:
        """Point a C tensor at the values; the returned array must outlive it."""
        array = np.ascontiguousarray(as_array(self.values))
        if array.dtype not in _NAMES:
            raise InvalidInput(f"a tensor is {', '.join(TYPES)}, got {array.dtype}", "ES_BAD_ENUM")
        tensor.data = pointer(array)
        tensor.bytes = array.nbytes
        tensor.type = code("ES_", _NAMES[array.dtype])
        tensor.scale, tensor.zero_point = self.scale, self.zero_point
        return array


def _tensor(values: Tensor | Any) -> tuple[Any, NDArray[Any]]:
    tensor = ffi.new("es_tensor *")
    wrapped = values if isinstance(values, Tensor) else Tensor(values)
    return tensor, wrapped._fill(tensor)


def dequantize(tensor: Tensor) -> NDArray[np.float32]:
    """scale * (q - zero_point), in double, rounded once to float32."""
    c, array = _tensor(tensor)
    values = np.empty(array.shape, np.float32)
    check(lib.es_dequantize, c, array.size, pointer(values, "float *"), values.nbytes)
    return values


def classify(
    logits: Tensor | Any, activation: Activation = "softmax", top: int = 1
) -> tuple[NDArray[np.float32], list[tuple[int, float]]]:
    """Scores of all classes, and (index, score) of the best `top`, best first."""
    c, array = _tensor(logits)
    scores = np.empty(array.size, np.float32)
    best = ffi.new("es_class[]", max(top, 1))
    arguments = (c, array.size, code("ES_", activation), pointer(scores, "float *"), scores.nbytes)
    check(lib.es_classify, *arguments, best, top)
    return scores, [(best[i].index, best[i].score) for i in range(top)]


@dataclass(frozen=True)
class Quantity:
    """What a distribution says; `grade` is None without a range table."""

    expectation: float
    mode: float
    low: float
    high: float
    grade: int | None
    mass: NDArray[np.float32]


def measure(
    logits: Tensor | Any,
    first: float,
    step: float,
    *,
    activation: Activation = "softmax",
    share: float = 0.8,
    upper: Sequence[float] = (),
) -> Quantity:
    """A distribution over first, first + step, ... to a value, an interval and a grade."""
    c, array = _tensor(logits)
    mass = np.empty(array.size, np.float32)
    found = ffi.new("es_quantity *")
    bounds = ffi.new("double[]", list(upper)) if upper else ffi.NULL
    arguments = (c, array.size, code("ES_", activation), first, step, share, bounds, len(upper))
    check(lib.es_measure, *arguments, pointer(mass, "float *"), mass.nbytes, found)
    grade = None if found.grade < 0 else found.grade
    return Quantity(found.expectation, found.mode, found.low, found.high, grade, mass)


def grade(value: float, upper: Sequence[float]) -> int:
    """The index of the first bound that the value does not exceed, else len(upper)."""
    found = ffi.new("int32_t *")
    check(lib.es_grade, value, ffi.new("double[]", list(upper)), len(upper), found)
    return int(found[0])


def segment(
    logits: Tensor | Any, placement: Placement, layout: Literal["nhwc", "nchw"] = "nchw"
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Logits (C, H, W), or (H, W, C), to a mask of the stored image, and its pixels per class."""
    c = ffi.new("es_segmentation *")
    wrapped = logits if isinstance(logits, Tensor) else Tensor(logits)
    array = wrapped._fill(ffi.addressof(c, "logits"))
    if array.ndim != 3:
        raise InvalidInput(f"logits have three axes, got {array.shape}", "ES_BAD_SIZE")
    if layout == "nchw":
        c.classes, c.height, c.width = array.shape
    else:
        c.height, c.width, c.classes = array.shape
    c.layout = code("ES_", layout)
    mask = np.empty((placement.image_height, placement.image_width), np.uint8)
    counts = np.empty(max(c.classes, 2), np.int64)
    size, place = ffi.new("size_t *"), placement._c()
    check(lib.es_segment_workspace, c, place, size)
    scratch = workspace(size[0])
    out = (pointer(mask, "uint8_t *"), mask.shape[1], mask.nbytes)
    arguments = (*out, pointer(counts, "int64_t *"), counts.size, pointer(scratch), size[0])
    check(lib.es_segment, c, place, *arguments)
    return mask, counts


@dataclass(frozen=True)
class Box:
    """A rectangle of a mask, the pixels that count in it, and their centroid."""

    left: int
    top: int
    width: int
    height: int
    area: int
    x: float
    y: float


def _boxes(found: Any, count: int) -> list[Box]:
    names = Box.__dataclass_fields__
    return [Box(**{name: getattr(found[i], name) for name in names}) for i in range(count)]


def components(
    mask: Any, value: int = 1, *, connectivity: int = 8, min_area: int = 1, capacity: int = 256
) -> tuple[list[Box], int]:
    """The largest connected components of `value`, largest first, and how many there are."""
    c, array = c_mask(mask)
    found, count = ffi.new("es_box[]", max(capacity, 1)), ffi.new("int32_t *")
    size = ffi.new("size_t *")
    check(lib.es_components_workspace, array.shape[1], size)
    scratch = workspace(size[0])
    arguments = (value, connectivity, min_area, found, capacity, count, pointer(scratch), size[0])
    check(lib.es_components, c, *arguments)
    return _boxes(found, min(count[0], capacity)), int(count[0])


def find_crops(
    skin: Any,
    lesion: Any,
    side: int,
    step: int,
    *,
    skin_value: int = 1,
    lesion_value: int = 1,
    min_skin: float = 0.8,
    min_lesion: float = 0.1,
    max_overlap: float = 0.5,
    capacity: int = 16,
) -> list[Box]:
    """Squares with more than `min_skin` skin and `min_lesion` lesion, most lesion first."""
    (a, array), (b, other) = c_mask(skin), c_mask(lesion)
    values = (side, step, skin_value, lesion_value, min_skin, min_lesion, max_overlap)
    found, count = ffi.new("es_box[]", max(capacity, 1)), ffi.new("int32_t *")
    size = ffi.new("size_t *")
    check(lib.es_find_crops_workspace, array.shape[1], size)
    scratch = workspace(size[0])
    rule = ffi.new("es_crop_rule *", values)
    arguments = (rule, found, capacity, count, pointer(scratch), size[0])
    check(lib.es_find_crops, a, b, *arguments)
    del array, other  # alive until here
    return _boxes(found, count[0])
