"""TensorFlow SavedModels: TensorFlow and tf2onnx in a process of their own write ONNX.

TensorFlow beside torch in one process has ended in segmentation faults, so it is never
imported here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact, MissingPackage, from_document
from edgeskin.sources import tensorflow_child
from edgeskin.sources.source_model import Hints, SourceModel, SourceTensor

PYTHON = "EDGESKIN_TENSORFLOW_PYTHON"
"""Names an interpreter that has tensorflow and tf2onnx, where this one has not."""

_HOW = "Save it as a SavedModel: tf.saved_model.save(model, folder), or model.export(folder)."


def is_saved_model(path: Path) -> bool:
    """Whether `path` is a folder with a SavedModel's graph."""
    return any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))


def read_saved_model(path: Path, *, input_size: tuple[int, int] | None = None) -> SourceModel:
    """A SavedModel's `serving_default`, or its only signature.

    Args:
        path: The folder.
        input_size: (height, width), where the model leaves them open.

    Raises:
        InvalidArtifact: No SavedModel, a damaged one, or no network of one image.
        MissingPackage: TensorFlow or tf2onnx is in no interpreter that is known.
    """
    path = Path(path).resolve()
    _check(path)
    from edgeskin.sources.onnx_graph import read_onnx

    python = _python()
    height, width = input_size or (0, 0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{path.name}.onnx"
        facts = _facts(_ask(python, "convert", path, file, height, width))
        source = read_onnx(file, input_size=None)
    outputs = tuple(
        SourceTensor(name, output.shape)
        for name, output in zip(facts.outputs, source.outputs, strict=True)
    )
    return replace(
        source,
        name=path.name,
        input=SourceTensor(facts.input, source.input.shape),
        outputs=outputs,
        runtime=f"TensorFlow {facts.tensorflow}",
        answer=lambda pixels: _answer(python, path, facts, pixels),
        steps=None,
        hints=Hints(notes=facts.notes),
    )


@dataclass(frozen=True)
class _Facts:
    """What the other process says of a model."""

    tensorflow: str
    signature: str
    others: tuple[str, ...]
    input: str
    outputs: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        unsaid = (
            "a SavedModel does not say which pixel values it expects: --normalization must be "
            "that of its training"
        )
        if not self.others:
            return (unsaid,)
        return (f"its signature '{self.signature}' was taken, not {', '.join(self.others)}", unsaid)


def _facts(answer: Mapping[str, Any]) -> _Facts:
    return _Facts(
        answer["tensorflow"],
        answer["signature"],
        tuple(answer["others"]),
        answer["input"],
        tuple(answer["outputs"]),
    )


def _check(path: Path) -> None:
    """Refuse what is no SavedModel, by what it is instead."""
    if is_saved_model(path):
        return
    if (path.is_dir() and any(path.glob("*.index"))) or path.suffix in (".ckpt", ".index", ".meta"):
        raise InvalidArtifact(f"{path} is a checkpoint: weights without their network. {_HOW}")
    if path.suffix in (".pb", ".pbtxt"):
        raise InvalidArtifact(f"{path} is a frozen graph, which does not say its inputs. {_HOW}")
    raise InvalidArtifact(f"{path} is no SavedModel: a folder with saved_model.pb. {_HOW}")


def _python() -> str:
    if importlib.util.find_spec("tensorflow") is not None:
        return sys.executable
    if named := os.environ.get(PYTHON, ""):
        return named
    raise MissingPackage(
        "reading a SavedModel needs TensorFlow: pip install 'edgeskin[tensorflow]' here, or in an "
        f"environment of its own, whose Python {PYTHON} then names"
    )


def _ask(python: str, command: str, *arguments: object) -> Mapping[str, Any]:
    """The other process' answer.

    Raises:
        MissingPackage: There is no such interpreter, or it has no TensorFlow.
        InvalidArtifact: It refused, or ended without an answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        script = str(tensorflow_child.__file__)
        line = [python, "-I", script, str(path), command, *map(str, arguments)]
        try:
            done = subprocess.run(
                line,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        except OSError as error:
            raise MissingPackage(f"{PYTHON} names {python}, which does not run: {error}") from error
        if not path.is_file():
            last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise MissingPackage(f"TensorFlow in {python} failed (exit {done.returncode}): {last}")
        answer: dict[str, Any] = json.loads(path.read_bytes())
    if "error" in answer:
        raise from_document(answer)
    return answer


def _answer(
    python: str, path: Path, facts: _Facts, pixels: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    with tempfile.TemporaryDirectory() as folder:
        image, out = Path(folder) / "image.npy", Path(folder) / "out"
        np.save(image, pixels)
        _ask(python, "answer", path, facts.signature, image, out)
        return tuple(np.load(f"{out}-{index}.npy") for index in range(len(facts.outputs)))
