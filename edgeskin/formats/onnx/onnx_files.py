"""What an ONNX file holds beside its graph: stored data, checked, and what it says of itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeskin.errors import InvalidArtifact
from edgeskin.files import inside
from edgeskin.formats.network import Facts

_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def check_stored(model: Any, path: Path) -> None:
    """Compare every stored tensor's sizes with the bytes there are, before anything is read.

    Raises:
        InvalidArtifact: A tensor has other sizes than data; external data is
            missing, too short, or outside the folder of `path`.
    """
    if not model.graph.input:
        raise InvalidArtifact(f"{path} has no inputs: there is nothing that it could predict from")
    for tensor in _stored(model.graph):
        if min(tensor.dims, default=0) < 0:
            raise _broken(path, tensor, "has a size below 0")
        needed = _needed(tensor)
        if tensor.data_location == tensor.EXTERNAL:
            _check_external(tensor, needed, path)
        elif needed is not None and not any(getattr(tensor, name) for name in _FIELDS):
            if len(tensor.raw_data) != needed:
                raise _broken(
                    path, tensor, f"takes {needed} bytes and has {len(tensor.raw_data)} of them"
                )
        elif needed is not None:
            values = max(len(getattr(tensor, name)) for name in _FIELDS)
            if values > 2 * math.prod(tensor.dims) or (needed and not values):
                raise _broken(path, tensor, f"has {values} values")


def _stored(graph: Any) -> Iterator[Any]:
    """Tensors of a graph and of its nodes, those of inner graphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (attribute.g, *attribute.graphs):
                yield from _stored(inner)


def stored_bytes(tensor: Any) -> int:
    """What a TensorProto takes in the file, or beside it."""
    if tensor.data_location == tensor.EXTERNAL:
        return _needed(tensor) or 0
    return len(tensor.raw_data) or int(tensor.ByteSize())


def _needed(tensor: Any) -> int | None:
    """Bytes of a tensor's values; None for text and types that numpy lacks."""
    import onnx

    if tensor.data_type == onnx.TensorProto.STRING:
        return None
    try:
        word = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
    except ValueError:
        return None
    size = {"float": 32, "double": 64, "bool": 8, "complex64": 64, "complex128": 128}.get(word)
    digits = re.match(r"[a-z]+(\d+)", word)
    if size is None and digits is None:
        return None
    return -(-math.prod(tensor.dims) * (size or int(digits[1])) // 8)  # type: ignore[index]


def _check_external(tensor: Any, needed: int | None, path: Path) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name = entries.get("location", "")
    try:
        file = inside(path.parent, name)
    except ValueError as error:
        why = f"is stored outside the file's folder, in '{name}'"
        raise _broken(path, tensor, why) from error
    if not file.is_file():
        raise _broken(path, tensor, f"is stored in '{name}', which is missing")
    try:
        at = int(entries.get("offset", 0))
        length = int(entries.get("length", file.stat().st_size - at))
    except ValueError as error:
        raise _broken(path, tensor, f"has no number as its place in '{name}': {error}") from error
    if at < 0 or length < 0 or at + length > file.stat().st_size:
        size = file.stat().st_size
        raise _broken(path, tensor, f"reaches to byte {at + length} of '{name}', which has {size}")
    if needed is not None and length < needed:
        raise _broken(path, tensor, f"takes {needed} bytes and has {length} of '{name}'")


def _broken(path: Path, tensor: Any, why: str) -> InvalidArtifact:
    shape = "x".join(map(str, tensor.dims)) or "a number"
    return InvalidArtifact(f"{path} cannot be read: its tensor '{tensor.name}' ({shape}) {why}")


def batch_of_one(graph: Any) -> None:
    """Read a first size that is open as 1, in place, so that sizes behind it are known."""
    for value in graph.input:
        sizes = value.type.tensor_type.shape.dim
        if sizes and not sizes[0].HasField("dim_value"):
            sizes[0].dim_value = 1


def facts(model: Any) -> Facts:
    import onnx

    opsets = {entry.domain or "ai.onnx": int(entry.version) for entry in model.opset_import}
    entries = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "domain": model.domain,
        "model_version": str(model.model_version or ""),
        "description": model.doc_string,
        **{entry.key: entry.value for entry in model.metadata_props},
    }
    release = next(
        (
            name
            for name, ir, opset, *_ in onnx.helper.VERSION_TABLE
            if ir >= model.ir_version and opset >= opsets.get("ai.onnx", 0)
        ),
        None,
    )
    return Facts(
        deployment={
            "ir_version": int(model.ir_version),
            "opsets": opsets,
            "needs": f"ONNX {release}" if release else None,
        },
        metadata={key: value for key, value in entries.items() if value},
        beside=tuple(
            f"{node.op_type} {node.name or node.output[0]}: {len(inside.g.node)} operators"
            for node in model.graph.node
            for inside in node.attribute
            if inside.HasField("g") and node.output
        ),
    )
