"""A model file or folder, opened by the reader of its kind."""

from __future__ import annotations

from pathlib import Path

from edgeskin.sources.recognize import SourceKind, kind_of
from edgeskin.sources.source_model import SourceModel


def open_source(
    path: Path, *, input_size: tuple[int, int] | None = None, trust: bool = False
) -> tuple[SourceKind, SourceModel]:
    """Read what somebody else's tool wrote.

    Args:
        input_size: Rows and columns of the image, where the file leaves them open.
        trust: Run code that the file holds or names (custom layers of Keras).

    Raises:
        InvalidRun: Missing, damaged, of no known kind, or not of one image input.
        NotTrusted: It holds code, and `trust` is False.
        MissingPackage: What reads it is not installed.
    """
    kind = kind_of(path)
    match kind.name:
        case "exported":
            from edgeskin.sources.torch_export import read_exported

            return kind, read_exported(path, input_size=input_size)
        case "torchscript":
            from edgeskin.sources.torchscript import read_torchscript

            return kind, read_torchscript(path, input_size=input_size)
        case "onnx":
            from edgeskin.sources.onnx_graph import read_onnx

            return kind, read_onnx(path, input_size=input_size)
        case "keras":
            from edgeskin.sources.keras_model import read_keras

            return kind, read_keras(path, trust=trust, input_size=input_size)
        case "saved_model":
            from edgeskin.sources.saved_model import read_saved_model

            return kind, read_saved_model(path, input_size=input_size)
