"""What kind of model a path holds, by its content; a suffix decides nothing."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeskin.errors import InvalidRun
from edgeskin.models.archive import is_exported

Kind = Literal["exported", "torchscript", "onnx", "keras", "saved_model"]

_PROTOBUF = range(1, 30)
"""The first field of an ONNX file, `ir_version`, and what it may be."""


@dataclass(frozen=True)
class SourceKind:
    """One kind of model file: its name, and its title in sentences."""

    name: Kind
    title: str


KINDS = {
    kind.name: kind
    for kind in (
        SourceKind("exported", "a network exported by torch.export"),
        SourceKind("torchscript", "a TorchScript archive"),
        SourceKind("onnx", "an ONNX model"),
        SourceKind("keras", "a Keras model"),
        SourceKind("saved_model", "a TensorFlow SavedModel"),
    )
}

# What is no model to import, and what to do instead, by how `_other` calls it.
_INSTEAD = {
    "weights": "holds weights alone. Name the network that they belong to: edgeskin import "
    "--model timm:NAME (or torchvision:NAME, or package.module:factory) --weights {path}",
    "pickle": "is a pickle, which is code and is not opened. Save the trained network's tensors: "
    "safetensors.torch.save_file(network.state_dict(), 'weights.safetensors'), and import them "
    "with --model",
    "tflite": "is a TFLite model, a finished file. Give what it was made from; edgeskin inspect "
    "and verify take it as it is",
    "coreml": "is a Core ML model, a finished file. Give what it was made from; edgeskin inspect "
    "and verify take it as it is",
    "old_export": "was exported by an older torch, whose archive holds pickles. Export it again "
    "with torch 2.9 or later",
    "graph_def": "is a frozen TensorFlow graph. Save the model as a SavedModel "
    "(tf.saved_model.save) and give its folder",
    "hugging_face": "is a Hugging Face folder, which names code. Load it in Python and call "
    "edgeskin.import_run(model, spec, out), or export it to ONNX",
}


def kind_of(path: Path) -> SourceKind:
    """The kind of a model file or folder that is neither a run nor a program.

    Raises:
        InvalidRun: Missing, or nothing that can be imported; the line says what to do.
    """
    if not path.exists():
        raise InvalidRun(
            f"{path} is missing. A network by name is timm:NAME, torchvision:NAME or "
            "package.module:factory"
        )
    name = _of_folder(path) if path.is_dir() else _of_file(path)
    if name in KINDS:
        return KINDS[name]
    instead = _INSTEAD.get(name, _UNKNOWN)
    raise InvalidRun(f"{path} {instead.format(path=path)}.")


_UNKNOWN = (
    "is neither a run folder nor a program (.pt2), and is damaged, or no model that edgeskin "
    "knows: it takes ONNX, torch.export (.pt2), TorchScript, Keras (.keras, .h5), TensorFlow "
    "SavedModel folders, and networks by name (--model)"
)


def _of_folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    if (path / "Manifest.json").is_file():
        return "coreml"
    if (path / "config.json").is_file():
        return "hugging_face"
    return ""


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(b"\x80") and head[1:2] in b"\x02\x03\x04\x05":
        return "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "weights"
    if zipfile.is_zipfile(path):
        return _of_archive(path)
    return _of_protobuf(head) or ("onnx" if path.suffix == ".onnx" else "")


def _of_archive(path: Path) -> str:
    if is_exported(path):
        return "exported"
    with zipfile.ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "serialized_exported_program.json" in names:
        return "old_export"
    if "constants.pkl" in names:
        return "torchscript"
    if {"config.json", "model.weights.h5"} <= names:
        return "keras"
    return "weights" if "data.pkl" in names else ""


def _of_protobuf(head: bytes) -> str:
    """ONNX begins with its version, a small number; a frozen TensorFlow graph with a node."""
    if head[:1] == b"\x08" and head[1:2] and head[1] in _PROTOBUF:
        return "onnx"
    return "graph_def" if head[:1] == b"\x0a" else ""
