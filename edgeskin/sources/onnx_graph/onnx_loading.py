"""An `.onnx` file as a ModelProto that is whole: checked, inlined, of a known operator set."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.inliner
import onnx.version_converter
from onnx import ModelProto

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.onnx.onnx_files import check_stored

LEAST_OPSET = 11


def load_model(path: Path) -> ModelProto:
    """Read `path` and the data beside it; no data outside its folder.

    A model of an operator set below 11 is converted to that.

    Raises:
        InvalidArtifact: Missing, truncated, no ONNX model, with external data
            that is missing or lies elsewhere, or of a set that cannot be converted.
    """
    if not path.is_file():
        raise InvalidArtifact(f"{path} is missing")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf and onnx have types of their own
        raise InvalidArtifact(
            f"{path} is truncated or not an ONNX model: {_line(error)}"
        ) from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise InvalidArtifact(f"{path} is truncated or not an ONNX model: it has no operators")
    check_stored(model, path)
    try:
        onnx.load_external_data_for_model(model, str(path.parent.resolve()))
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except Exception as error:
        raise InvalidArtifact(f"{path} cannot be read: {_line(error)}") from error
    return _recent(model, path)


def _recent(model: ModelProto, path: Path) -> ModelProto:
    entry = next((o for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
    opset = 1 if entry is None else int(entry.version)
    if opset >= LEAST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, LEAST_OPSET)
    except Exception as error:
        raise InvalidArtifact(
            f"{path} has the operator set {opset}; edgeskin reads {LEAST_OPSET} and later, and "
            f"onnx cannot convert it ({_line(error)}). Export the model again."
        ) from error


def _foreign(path: Path, why: str) -> InvalidArtifact:
    return InvalidArtifact(f"{path} is truncated or not an ONNX model: {why}")


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
