"""A failing layer as a folder that runs by itself: the part of the file, its input, the answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from edgeskin import metrics
from edgeskin.converters.parity.documents import Reproduction
from edgeskin.converters.parity.layer_comparison import Layer, LayerComparison
from edgeskin.converters.parity.parts import Parts
from edgeskin.document import Document
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
values = run(str(HERE / CASE["model"]), feeds).astype(np.float64)
if CASE["scale"] is not None:
    values = (values - CASE["zero_point"]) * CASE["scale"]
expected = np.load(HERE / "expected.npy").astype(np.float64)
values = values.reshape(CASE["sizes"]).transpose(CASE["order"])
values = values[tuple(map(slice, np.squeeze(expected).shape))].reshape(expected.shape)
noise = float(np.sum((expected - values) ** 2))
print(f"SQNR {10 * math.log10(float(np.sum(expected**2)) / noise) if noise else math.inf:.4f} dB")
'''
_NO_TEXT = re.compile(r"[^\w .:;,/()\[\]-]", re.ASCII)
"""What a name out of somebody's file must not bring into a program."""


class Case(Document):
    """`case.json`: the files of a layer, and how its output is read.

    `inputs` are file names by tensor; real = `scale` * (value - `zero_point`), both null where the
    output is float; the real values have the axes `sizes`, and the reference's order is `order`.
    """

    version: int = 1
    layer: str
    model: str
    inputs: dict[str, str]
    output: str
    scale: float | None
    zero_point: int | None
    sizes: tuple[int, ...]
    order: tuple[int, ...]


def write_repro(
    comparison: LayerComparison, name: str, out: Path, *, force: bool = False
) -> Reproduction:
    """Write the part of the file that computes the layer `name`, with its input for one image.

    Raises:
        CannotWrite: `out` exists and `force` is False, or cannot be written.
    """
    layer, parts = comparison.layers[name], comparison.parts
    x, feed = comparison.pair.images.read(0)
    known = {point.name: values for point, values in comparison.reference.values(x)}
    rounded, feeds = comparison.rounded(layer, known, feed)
    expected = comparison.reference.compute(layer.match.reference, rounded)
    case = _case(parts, layer, list(feeds))
    with atomic(out, force=force) as folder:
        folder.mkdir()
        parts.cutter.cut(list(feeds), [case.output], folder / case.model)
        for input_name, file in case.inputs.items():
            np.save(folder / file, feeds[input_name])
        np.save(folder / "expected.npy", expected)
        (folder / "case.json").write_text(json.dumps(case.to_json(), indent=2) + "\n")
        (folder / "run.py").write_text(_script(name, parts.path))
    sqnr_db = metrics.sqnr_db(expected, comparison.run_alone(layer, feeds))
    return Reproduction(layer=name, folder=str(out), sqnr_db=sqnr_db)


def _case(parts: Parts, layer: Layer, inputs: list[str]) -> Case:
    match = layer.match
    quantization = parts.held_as(match.artifact.name).quantization
    return Case(
        layer=match.reference.name,
        model=f"model{parts.path.suffix}",
        inputs={name: f"input_{i}.npy" for i, name in enumerate(inputs)},
        output=match.artifact.name,
        scale=None if quantization is None else quantization.scale[0],
        zero_point=None if quantization is None else quantization.zero_point[0],
        sizes=tuple(size for size in match.layout.artifact if size != 1),
        order=match.layout.order,
    )


def _script(layer: str, path: Path) -> str:
    with format_of(path).part("standalone") as standalone:
        package, runtime = standalone.PACKAGE, standalone.RUN
    layer, artifact = (_NO_TEXT.sub("_", name) for name in (layer, path.name))
    words = {"LAYER": layer, "ARTIFACT": artifact, "PACKAGE": package, "RUNTIME": runtime}
    text = _RUN
    for word, value in words.items():
        text = text.replace(word, value)
    return text
