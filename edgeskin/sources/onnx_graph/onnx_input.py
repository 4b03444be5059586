"""The one image that a graph reads: its name, its fixed shape and its layout."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, TensorProto, ValueInfoProto

from edgeskin.errors import InvalidArtifact
from edgeskin.sources.image_input import image_input
from edgeskin.sources.onnx_graph.dtypes import type_name
from edgeskin.sources.source_model import SourceLayout

_TYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
}


@dataclass(frozen=True)
class OnnxImage:
    """`dtype` is NumPy's name of what the file takes; the network takes float32 all the same."""

    name: str
    shape: tuple[int, int, int, int]
    layout: SourceLayout
    dtype: str


def find_image(model: ModelProto, input_size: tuple[int, int] | None, where: str) -> OnnxImage:
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
    if kind not in _TYPES:
        raise InvalidArtifact(
            f"{where}: the input '{value.name}' is {type_name(kind)}, which no image is"
        )
    image = image_input(value.name, _sizes(value), input_size, where=where)
    return OnnxImage(value.name, image.shape, image.layout, _TYPES[kind])


def _sizes(value: ValueInfoProto) -> list[int | str | None]:
    """A name, or None, for a size that is open."""
    return [
        int(size.dim_value) if size.HasField("dim_value") else size.dim_param or None
        for size in value.type.tensor_type.shape.dim
    ]


def _text(value: ValueInfoProto) -> str:
    sizes = value.type.tensor_type.shape.dim
    return " x ".join(
        str(size.dim_value) if size.HasField("dim_value") else size.dim_param or "?"
        for size in sizes
    )
