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
from edgeskin.formats import format_of

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
        (folder / "run.py").write_text(_script(name, anatomy.parts.path))
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


def _script(layer: str, path: Path) -> str:
    with format_of(path).part("standalone") as how:
        package, runtime = how.PACKAGE, how.RUN
    layer, artifact = (_NO_TEXT.sub("_", name) for name in (layer, path.name))
    words = {"LAYER": layer, "ARTIFACT": artifact, "PACKAGE": package, "RUNTIME": runtime}
    text = _RUN
    for word, value in words.items():
        text = text.replace(word, value)
    return text
