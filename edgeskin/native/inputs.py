"""Images and recipes for the native core, and `preprocess` from one to the other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidInput
from edgeskin.native.core import TYPES, as_array, c_mask, check, code, ffi, lib, pointer

if TYPE_CHECKING:
    from edgeskin.spec import InputSpec

Format = Literal["rgb", "bgr", "rgba", "bgra", "grey", "nv12", "nv21", "i420"]
_PIXEL = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}
_NAMES = {
    "fit": ("squash", "shortest_edge", "letterbox"),
    "filter": ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"),
    "channels": ("rgb", "bgr", "grey"),
    "type": ("uint8", "int8", "float32", "float16"),
    "layout": ("nhwc", "nchw"),
}
_SCRATCH = threading.local()


@dataclass(frozen=True)
class Image:
    """An image as it lies in memory.

    Args:
        planes: uint8 arrays. One (H, W, 3 or 4) or, for grey, (H, W); for nv12 and nv21 (H, W)
            and the interleaved chroma (H/2, W); for i420 (H, W) and twice (H/2, W/2). Rows may
            be any distance apart. DLPack tensors on the CPU will do.
        format: Order of the channels.
        orientation: EXIF orientation, 1 to 8: how to turn it upright.
        matrix, range: of YUV formats; "bt601" or "bt709", "video" or "full".
    """

    planes: Sequence[Any]
    format: Format = "rgb"
    orientation: int = 1
    matrix: Literal["bt601", "bt709"] = "bt601"
    range: Literal["video", "full"] = "video"

    def _arrays(self) -> list[NDArray[np.uint8]]:
        arrays = [as_array(plane) for plane in self.planes]
        expected = {"nv12": 2, "nv21": 2, "i420": 3}.get(self.format, 1)
        if len(arrays) != expected:
            raise InvalidInput(
                f"{self.format} has {expected} planes, got {len(arrays)}", "ES_NULL_POINTER"
            )
        pixel = _PIXEL.get(self.format)
        for array in arrays:
            shape = array.shape[2:] if pixel else (*array.shape[2:],)
            if array.dtype != np.uint8 or array.ndim < 2 or shape != ((pixel,) if pixel else ()):
                raise InvalidInput(
                    f"a plane of {self.format} is uint8 (H, W{f', {pixel}' if pixel else ''}), "
                    f"got {array.dtype} {array.shape}",
                    "ES_BAD_SIZE",
                )
        return [_dense_rows(array) for array in arrays]

    def _c(self, arrays: list[NDArray[np.uint8]]) -> Any:
        image = ffi.new("es_image *")
        image.format = code("ES_", self.format)
        image.height, image.width = arrays[0].shape[:2]
        image.orientation = self.orientation
        image.matrix = code("ES_", self.matrix)
        image.range = code("ES_", f"{self.range}_range")
        for i, array in enumerate(arrays):
            row = array.shape[1] * (array.shape[2] if array.ndim == 3 else 1)
            stride = array.strides[0] if array.shape[0] > 1 else row
            image.planes[i] = pointer(array, "uint8_t *")
            image.strides[i] = stride
            image.bytes[i] = (array.shape[0] - 1) * stride + row if array.size else 0
        return image


def _dense_rows(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The array itself where C can read it: bytes of a row side by side, rows downwards."""
    inner = array.strides[1:] == ((array.shape[2], 1) if array.ndim == 3 else (1,))
    row = array.shape[1] * (array.shape[2] if array.ndim == 3 else 1)
    if inner and (array.shape[0] < 2 or array.strides[0] >= row):
        return array
    return np.ascontiguousarray(array)


@dataclass(frozen=True)
class Recipe:
    """What a model eats: `es_recipe` of edgeskin.h, by names."""

    width: int
    height: int
    fit: Literal["squash", "shortest_edge", "letterbox"] = "squash"
    resize_to: int = 0
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    pad_value: int = 0
    crop: tuple[float, float, float, float] | None = None
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    type: Literal["uint8", "int8", "float32", "float16"] = "uint8"
    layout: Literal["nhwc", "nchw"] = "nhwc"
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    scale: float = 1.0 / 255.0
    zero_point: int = 0

    @classmethod
    def from_spec(cls, spec: InputSpec, **changes: Any) -> Self:
        """The spec's geometry; pixels in RGB, uint8, NHWC unless `changes` say otherwise."""
        recipe = cls(
            width=spec.width,
            height=spec.height,
            fit=spec.resize,
            resize_to=spec.resize_to or 0,
            filter=spec.filter,
            pad_value=spec.pad_value,
        )
        return replace(recipe, **changes)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The recipe of a spec.json as the C library reads it for apps.

        It is for float32, NCHW, with the spec's mean and std.

        Raises:
            InvalidSpec: Not JSON, or an input that does not validate.
        """
        data = text.encode() if isinstance(text, str) else text
        recipe = ffi.new("es_recipe *")
        check(lib.es_recipe_from_spec, data, len(data), recipe)
        fields: dict[str, Any] = {
            name: getattr(recipe, name)
            for name in ("width", "height", "resize_to", "pad_value", "scale", "zero_point")
        }
        for name, known in _NAMES.items():
            fields[name] = next(n for n in known if code("ES_", n) == getattr(recipe, name))
        return cls(**fields, mean=tuple(recipe.mean), std=tuple(recipe.std))

    def _c(self) -> Any:
        recipe = ffi.new("es_recipe *")
        recipe.width, recipe.height = self.width, self.height
        recipe.resize_to, recipe.pad_value = self.resize_to, self.pad_value
        for name in _NAMES:
            setattr(recipe, name, code("ES_", getattr(self, name)))
        if self.crop is not None:
            recipe.crop = self.crop
            if not any(self.crop):
                raise InvalidInput("the crop is empty", "ES_BAD_CROP")
        recipe.mean, recipe.std = list(self.mean), list(self.std)
        recipe.scale, recipe.zero_point = self.scale, self.zero_point
        return recipe

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the output, without the batch: (H, W, C) or (C, H, W)."""
        n = 1 if self.channels == "grey" else 3
        plane = (self.height, self.width)
        return (*plane, n) if self.layout == "nhwc" else (n, *plane)


def preprocess(
    image: Image | Any,
    recipe: Recipe,
    *,
    mask: Any = None,
    keep: Iterable[int] = (1,),
    fill: Sequence[int] = (0, 0, 0),
    out: Any = None,
) -> NDArray[Any]:
    """Pixels to a model's input, in one call.

    Args:
        image: An Image, or an RGB array (H, W, 3).
        recipe: What the model eats.
        mask: Of another model's classes, uint8 (H, W) as `segment` gives it, of the image as
            stored; all pixels count if not given.
        keep: Values of the mask, 0 to 255, whose pixels stay.
        fill: Red, green and blue of all other pixels, before orientation and resize.
        out: Where to write, C-contiguous, of the recipe's type and as many values; a new array
            if not given.

    Returns:
        `out`, or an array of `recipe.shape`.

    Raises:
        InvalidInput: Anything edgeskin.h refuses, with its message.
    """
    image = image if isinstance(image, Image) else Image((image,))
    arrays = image._arrays()
    c_image, c_recipe = image._c(arrays), recipe._c()
    result = np.empty(recipe.shape, TYPES[recipe.type]) if out is None else as_array(out)
    if result.dtype != TYPES[recipe.type] or not result.flags.c_contiguous:
        raise InvalidInput(
            f"out must be C-contiguous {recipe.type}, got {result.dtype} {result.strides}",
            "ES_BUFFER_TOO_SMALL",
        )
    selection, pixels = (ffi.NULL, None) if mask is None else _selection(mask, keep, fill)
    size = ffi.new("size_t *")
    check(lib.es_preprocess_workspace, c_image, c_recipe, size)
    scratch = workspace(size[0])
    arguments = (pointer(result), result.nbytes, pointer(scratch), size[0])
    check(lib.es_preprocess_masked, c_image, c_recipe, selection, *arguments)
    del pixels  # alive until here
    return result


def _selection(
    mask: Any, keep: Iterable[int], fill: Sequence[int]
) -> tuple[Any, NDArray[np.uint8]]:
    """es_selection, and the array that must outlive it."""
    kept, colour = [int(value) for value in keep], tuple(int(value) for value in fill)
    if len(colour) != 3 or not all(0 <= value <= 255 for value in (*kept, *colour)):
        raise InvalidInput(
            f"keep holds values from 0 to 255 and fill three, got {kept} and {colour}",
            "ES_BAD_VALUE",
        )
    c, pixels = c_mask(mask)
    selection = ffi.new("es_selection *", {"mask": c[0], "fill": colour})
    for value in kept:
        selection.keep[value] = 1
    return selection, pixels


@dataclass(frozen=True)
class Placement:
    """Where an output's pixels came from: `es_placement` of edgeskin.h."""

    image_width: int
    image_height: int
    orientation: int
    crop: tuple[float, float, float, float]
    resized_width: int
    resized_height: int
    left: int
    top: int
    width: int
    height: int

    def _c(self) -> Any:
        return ffi.new("es_placement *", vars(self))


def place(image: Image | Any, recipe: Recipe) -> Placement:
    """How `preprocess` maps the image to the output, to find the way back."""
    image = image if isinstance(image, Image) else Image((image,))
    found = ffi.new("es_placement *")
    check(lib.es_place, image._c(image._arrays()), recipe._c(), found)
    fields = {name: getattr(found, name) for name in Placement.__dataclass_fields__}
    return Placement(**(fields | {"crop": tuple(found.crop)}))


def workspace(size: int) -> NDArray[np.uint8]:
    """This thread's scratch, at least `size` bytes; it only ever grows, to 2 MB at most."""
    scratch: NDArray[np.uint8] | None = getattr(_SCRATCH, "bytes", None)
    if scratch is None or scratch.size < size:
        scratch = _SCRATCH.bytes = np.empty(size, np.uint8)
    return scratch
