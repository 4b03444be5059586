"""How near the values inside a network come to the end of float16, by layer.

An INT8 file says it by its scales. Of a float file nobody knows without running
it: the float network that it was made from is, on real images. The graph is the
one that is quantized, batch norms folded, as in the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from edgeskin.artifacts import read_metadata
from edgeskin.calibration.graphs import layer_name
from edgeskin.calibration.rewrites import flatten
from edgeskin.converters.audit.scales import against_float16
from edgeskin.data.manifest import ImageData, load_split
from edgeskin.errors import InvalidArtifact, ShapeMismatch
from edgeskin.formats.model_audit import Float16Reach, LayerReach
from edgeskin.models.app_model import AppModel
from edgeskin.models.run import Run, load_run
from edgeskin.progress import Progress, silent

IMAGES = 32


def measure(
    artifact: Path,
    reference: Path | str,
    data: ImageData | Path | str,
    *,
    split: str = "test",
    images: int = IMAGES,
    trust: bool = False,
    progress: Progress = silent,
) -> Float16Reach:
    """The largest absolute value of every tensor of the run `reference`.

    Args:
        artifact: A file that was made from this run, where it says so.
        images: Of the split, drawn with a fixed seed.
        trust: Run the code that the run names, whoever wrote it.

    Raises:
        ShapeMismatch: The artifact says that it was made from another model.
        InvalidRun, NotTrusted, InvalidData: As their readers.
    """
    run, dataset = load_run(reference, trust=trust), load_split(data, split).take(images)
    _same_model(artifact, run)
    normalize = AppModel(run.network, run.spec).normalize
    pixels = torch.from_numpy(dataset.pixels(run.spec.input))
    inputs = [normalize(image[None]).contiguous() for image in pixels]
    layers = largest_values(flatten(run.network, inputs[0]), inputs, progress)
    return against_float16(layers, by="images", run=Path(reference).name, images=len(inputs))


def largest_values(
    graph: fx.GraphModule, inputs: Sequence[Tensor], progress: Progress = silent
) -> list[LayerReach]:
    """The module, type and largest absolute value of each operator of `graph`."""
    largest_by_node: dict[fx.Node, float] = {}
    for index, x in enumerate(inputs, 1):
        with torch.no_grad():
            _Watching(graph, largest_by_node).run(x)
        progress("running the reference", index, len(inputs))
    return [
        LayerReach(name=layer_name(node), type=_type(node), largest=largest)
        for node, largest in largest_by_node.items()
    ]


class _Watching(fx.Interpreter):
    """Notes the largest absolute value that each operator gives; NaN counts as infinite."""

    def __init__(self, graph: fx.GraphModule, largest: dict[fx.Node, float]):
        super().__init__(graph)
        self.largest = largest

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if node.op == "call_function" and isinstance(value, Tensor) and value.is_floating_point():
            largest = float(value.abs().nan_to_num(nan=torch.inf, posinf=torch.inf).max())
            self.largest[node] = max(largest, self.largest.get(node, 0.0))
        return value


def _type(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


def _same_model(artifact: Path, run: Run) -> None:
    try:
        spec = read_metadata(artifact).spec
    except InvalidArtifact:  # another tool's: nobody can say
        return
    if (spec.input, spec.heads) != (run.spec.input, run.spec.heads):
        raise ShapeMismatch(
            f"{artifact} was made from '{spec.name}' and the reference is '{run.spec.name}', with "
            "another input or other heads. Pass the run that the artifact was made from."
        )
