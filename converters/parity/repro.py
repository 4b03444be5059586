"""A failing layer as a folder that runs by itself: the part of the file, its input, the answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from edgeskin import metrics
from edgeskin.converters.parity.layers import Anatomy, Feed, Layer
from edgeskin.files import atomic

_RUN = '''"""LAYER of ARTIFACT, by itself: prints how far it agrees with the float model.

The part of the file that computes this layer gets the float model's values, as
far as the file can hold them; `expected.npy` is what the float layer makes of
the same. Needs numpy and PACKAGE.
"""

import json
import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CASE = json.loads((HERE / "case.json").read_text())


RUNTIME

feeds = {name: np.load(HERE / file) for name, file in CASE["inputs"].items()}
found = run(str(HERE / CASE["model"]), feeds).astype(np.float64)
if CASE["scale"] is not None:
    found = (found - CASE["zero_point"]) * CASE["scale"]
expected = np.load(HERE / "expected.npy").astype(np.float64)
found = found.reshape(CASE["sizes"]).transpose(CASE["order"])
found = found[tuple(map(slice, np.squeeze(expected).shape))].reshape(expected.shape)
noise = float(np.sum((expected - found) ** 2))
print(f"SQNR {10 * math.log10(float(np.sum(expected**2)) / noise) if noise else math.inf:.4f} dB")
'''
_NO_TEXT = re.compile(r"[^\w .:;,/()\[\]-]", re.ASCII)
"""What a name out of somebody's file must not bring into a program."""
_RUNTIMES = {
    ".onnx": (
        "onnxruntime",
        """def run(path, feeds):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run([CASE["output"]], feeds)[0]
""",
    ),
    ".tflite": (
        "ai-edge-litert",
        """def run(path, feeds):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], feeds[detail["name"]])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
""",
    ),
    ".mlpackage": (
        "edgeskin, whose MIL runtime runs Core ML packages on any system",
        """def run(path, feeds):
    from edgeskin.runtimes import mil

    with mil.open_session(Path(path)) as session:
        return session.run(feeds)[CASE["output"]]
""",
    ),
}


def write_repro(
    anatomy: Anatomy, name: str, image: Feed, out: Path, *, force: bool = False
) -> dict[str, Any]:
    """Write the part of the file that computes the layer `name`, with its input for one image.

    Returns:
        `layer`, `folder`, and `sqnr_db`, which its `run.py` prints.

    Raises:
        CannotWrite: `out` exists and `force` is False, or cannot be written.
    """
    layer = anatomy.layers[name]
    x, feed = image
    known = {point.name: values for point, values in anatomy.reference.values(x)}
    given, feeds = anatomy.rounded(layer, known, feed)
    expected = anatomy.reference.compute(layer.match.reference, given)
    case = _case(anatomy, layer, list(feeds))
    suffix = anatomy.parts.path.suffix
    with atomic(out, force=force) as folder:
        folder.mkdir()
        anatomy.parts.cutter.cut(list(feeds), [case["output"]], folder / f"model{suffix}")
        for input_name, file in case["inputs"].items():
            np.save(folder / file, feeds[input_name])
        np.save(folder / "expected.npy", expected)
        (folder / "case.json").write_text(json.dumps(case, indent=2) + "\n")
        (folder / "run.py").write_text(_script(name, anatomy.parts.path.name, suffix))
    found = anatomy.run_alone(layer, feeds)
    return {"layer": name, "folder": str(out), "sqnr_db": metrics.sqnr_db(expected, found)}


def _case(anatomy: Anatomy, layer: Layer, inputs: list[str]) -> dict[str, Any]:
    match = layer.match
    grid = anatomy.parts.held_as(match.artifact.name).quantization
    return {
        "layer": match.reference.name,
        "model": f"model{anatomy.parts.path.suffix}",
        "inputs": {name: f"input_{i}.npy" for i, name in enumerate(inputs)},
        "output": match.artifact.name,
        "scale": None if grid is None else grid.scale[0],
        "zero_point": None if grid is None else grid.zero_point[0],
        "sizes": [size for size in match.layout.artifact if size != 1],
        "order": list(match.layout.order),
    }


def _script(layer: str, artifact: str, suffix: str) -> str:
    package, runtime = _RUNTIMES[suffix]
    layer, artifact = (_NO_TEXT.sub("_", name) for name in (layer, artifact))
    words = {"LAYER": layer, "ARTIFACT": artifact, "PACKAGE": package, "RUNTIME": runtime}
    text = _RUN
    for word, value in words.items():
        text = text.replace(word, value)
    return text
