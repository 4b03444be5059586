"""The one image that a graph reads: its name, its fixed shape and its layout."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, TensorProto, ValueInfoProto

from edgeskin.errors import InvalidArtifact
from edgeskin.sources.onnx_graph.dtypes import type_name
from edgeskin.sources.source_model import SourceLayout

_CHANNELS = (1, 3)
_TYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
}


@dataclass(frozen=True)
class ImageInput:
    """`dtype` is NumPy's name of what the file takes; the network takes float32 all the same."""

    name: str
    shape: tuple[int, int, int, int]
    layout: SourceLayout
    dtype: str


def find_image(model: ModelProto, input_size: tuple[int, int] | None, where: str) -> ImageInput:
    """The image input of a graph, its open sizes set.

    Args:
        input_size: Height and width, for a file that leaves them open.
        where: The file, for messages.

    Raises:
        InvalidArtifact: Several inputs or none, one that is no image, a batch of
            more than one, or a size that is open or differs from `input_size`.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1:
        named = ", ".join(f"'{value.name}' ({_text(value)})" for value in inputs) or "none"
        raise InvalidArtifact(
            f"{where} has {len(inputs)} inputs: {named}. edgeskin takes models with one image "
            "input; make the others constants when exporting."
        )
    [value] = inputs
    kind = value.type.tensor_type.elem_type
    sizes = _sizes(value)
    layout = _layout(sizes)
    if kind not in _TYPES or layout is None:
        raise InvalidArtifact(
            f"{where}: input '{value.name}' is {type_name(kind)} ({_text(value)}), which is no "
            "image: edgeskin takes (1, C, H, W) or (1, H, W, C) with 1 or 3 channels"
        )
    if sizes[0] not in (None, 1):
        raise InvalidArtifact(
            f"{where}: input '{value.name}' ({_text(value)}) takes {sizes[0]} images at once; "
            "export the model for a batch of 1"
        )
    axis = 2 if layout == "NCHW" else 1
    height, width = _fixed(sizes[axis : axis + 2], input_size, value, where)
    channels = sizes[1 if layout == "NCHW" else 3]
    assert channels is not None
    shape = (1, channels, height, width) if layout == "NCHW" else (1, height, width, channels)
    return ImageInput(value.name, shape, layout, _TYPES[kind])


def _sizes(value: ValueInfoProto) -> list[int | None]:
    """None for a size that is open."""
    return [
        int(size.dim_value) if size.HasField("dim_value") and size.dim_value > 0 else None
        for size in value.type.tensor_type.shape.dim
    ]


def _text(value: ValueInfoProto) -> str:
    sizes = value.type.tensor_type.shape.dim
    return " x ".join(
        str(size.dim_value) if size.HasField("dim_value") else size.dim_param or "?"
        for size in sizes
    )


def _layout(sizes: list[int | None]) -> SourceLayout | None:
    """Where the channels stand; first where both ends could be."""
    if len(sizes) != 4:
        return None
    if sizes[1] in _CHANNELS:
        return "NCHW"
    return "NHWC" if sizes[3] in _CHANNELS else None


def _fixed(
    sizes: list[int | None], asked: tuple[int, int] | None, value: ValueInfoProto, where: str
) -> tuple[int, int]:
    if asked is not None and min(asked) < 1:
        raise InvalidArtifact(f"--input-size {asked[0]}x{asked[1]} is no size of an image")
    if asked is None and None in sizes:
        raise InvalidArtifact(
            f"{where}: input '{value.name}' ({_text(value)}) leaves its size open; "
            "--input-size HxW fixes it, as --input-size 224x224"
        )
    if asked is not None and any(
        have not in (None, want) for have, want in zip(sizes, asked, strict=True)
    ):
        raise InvalidArtifact(
            f"{where}: input '{value.name}' ({_text(value)}) has another size than "
            f"--input-size {asked[0]}x{asked[1]}; leave that out"
        )
    height, width = asked if asked is not None else (sizes[0], sizes[1])
    assert height is not None
    assert width is not None
    return height, width
