"""A SavedModel on TensorFlow, in the process of an interpreter that has it.

Run as a file by `saved_model`, maybe of another environment: it imports nothing of edgeskin.
It writes its answer as JSON; a refusal has `error`, the class of edgeskin's that says it.

    tensorflow_child.py ANSWER.json convert MODEL OUT.onnx HEIGHT WIDTH    (0 0: as it says)
    tensorflow_child.py ANSWER.json answer MODEL SIGNATURE IMAGE.npy OUT    (OUT-0.npy, ...)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_OPSET = 17


class Refused(Exception):
    """What cannot be done, and the name of the error of edgeskin's that says so."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.document = {"error": error, "message": message}


def convert(model: str, out: str, height: str, width: str) -> Mapping[str, object]:
    """Write the signature of a SavedModel as ONNX, for a batch of one and a fixed size."""
    import tensorflow as tf

    try:
        import tf2onnx
    except ModuleNotFoundError as error:
        raise Refused(
            "MissingPackage",
            f"reading a SavedModel needs {error.name} in {sys.executable}: "
            "pip install 'edgeskin[tensorflow]'",
        ) from error
    loaded = _load(model)
    name = _signature(loaded, model)
    function = loaded.signatures[name]
    key, spec = _image(function, model)
    fixed = tf.TensorSpec(
        _fixed(spec.shape, (int(height), int(width)), model), spec.dtype, name=key
    )
    outputs = sorted(function.structured_outputs)

    def run(image: Any) -> Any:
        results = function(**{key: image})
        return tuple(results[output] for output in outputs)

    try:
        traced = tf.function(run, input_signature=[fixed])
        tf2onnx.convert.from_function(traced, [fixed], opset=_OPSET, output_path=out)
    except Exception as error:
        raise Refused(
            "InvalidArtifact", f"tf2onnx {tf2onnx.__version__} cannot write {model}: {_line(error)}"
        ) from error
    return {
        "tensorflow": tf.__version__,
        "tf2onnx": tf2onnx.__version__,
        "signature": name,
        "others": sorted(set(loaded.signatures) - {name}),
        "input": key,
        "outputs": outputs,
    }


def answer(model: str, signature: str, image: str, out: str) -> Mapping[str, object]:
    """Run a signature on one image; its outputs go to `OUT-0.npy` and so on."""
    import numpy as np
    import tensorflow as tf

    function = _load(model).signatures[signature]
    key, spec = _image(function, model)
    results = function(**{key: tf.cast(np.load(image), spec.dtype)})
    for index, output in enumerate(sorted(function.structured_outputs)):
        np.save(f"{out}-{index}.npy", results[output].numpy())
    return {"outputs": len(results)}


def _load(model: str) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(model)
    except Exception as error:  # TensorFlow raises types of its own
        raise Refused(
            "InvalidArtifact", f"TensorFlow {tf.__version__} cannot load {model}: {_line(error)}"
        ) from error


def _signature(loaded: Any, model: str) -> str:
    names = sorted(loaded.signatures)
    if "serving_default" in names:
        return "serving_default"
    if len(names) == 1:
        return str(names[0])
    listed = ", ".join(names)
    why = f"{len(names)} signatures and no serving_default: {listed}" if names else "no signature"
    raise Refused(
        "InvalidArtifact",
        f"{model} has {why}. Save it with one: tf.saved_model.save(model, folder, "
        "signatures={'serving_default': function}).",
    )


def _image(function: Any, model: str) -> tuple[str, Any]:
    """The name and the specification of the one input."""
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
        listed = ", ".join(f"'{name}' {spec.shape}" for name, spec in inputs.items())
        raise Refused("InvalidArtifact", f"{model} takes {len(inputs)} inputs, not one: {listed}")
    [(key, spec)] = inputs.items()
    if spec.shape.rank != 4 or not {spec.shape[1], spec.shape[3]} & {1, 3}:
        raise Refused(
            "InvalidArtifact",
            f"{model} takes '{key}' {spec.shape}, which is no image: it must be 4 axes with 1 or "
            "3 channels",
        )
    return key, spec


def _fixed(shape: Any, size: tuple[int, int], model: str) -> list[int]:
    """`shape` with a batch of one and, where it leaves them open, the height and width asked."""
    sizes = [1, *shape[1:]]
    places = (1, 2) if shape[3] in (1, 3) else (2, 3)
    for place, given in zip(places, size, strict=True):
        if sizes[place] is not None and given not in (0, sizes[place]):
            raise Refused(
                "InvalidArtifact",
                f"{model} takes {shape}, an image of a fixed size: not {size[0]} x {size[1]}",
            )
        sizes[place] = sizes[place] or given
    if not all(sizes):
        raise Refused(
            "InvalidArtifact",
            f"{model} takes {shape}, of no fixed size: say which height and width it is to have",
        )
    return sizes


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


COMMANDS: Mapping[str, Callable[..., Mapping[str, object]]] = {"convert": convert, "answer": answer}

if __name__ == "__main__":
    try:
        written = COMMANDS[sys.argv[2]](*sys.argv[3:])
    except Refused as refusal:
        written = refusal.document
    Path(sys.argv[1]).write_text(json.dumps(written), encoding="utf-8")
