"""A source, opened: the one form that all kinds have from here on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import fx, nn

from edgeskin.calibration.rewrites import export
from edgeskin.errors import InvalidRun
from edgeskin.models.reparameterize import mergeable, reparameterized
from edgeskin.sources.by_name import NamedNetwork
from edgeskin.sources.graph_outputs import activation_name, final_activation, output_nodes
from edgeskin.sources.guess_heads import Output
from edgeskin.sources.image_input import ImageInput, image_input
from edgeskin.sources.opening import open_source
from edgeskin.sources.source_model import SourceLayout, SourceModel
from edgeskin.sources.torch_answers import FlatOutputs
from edgeskin.sources.torch_module import read_module

aten = torch.ops.aten


@dataclass(frozen=True)
class Found:
    """A source, opened: its graph in its own layout, and the outputs of that."""

    kind: str
    model: SourceModel
    image: ImageInput
    graph: fx.GraphModule
    outputs: tuple[Output, ...]
    named: NamedNetwork | None = None

    @property
    def layout(self) -> SourceLayout:
        return self.image.layout


def find(
    source: NamedNetwork | nn.Module | Path | str,
    *,
    input_size: tuple[int, int] | None = None,
    trust: bool = False,
) -> Found:
    """Open a model, and export it in its own layout.

    Args:
        input_size: Rows and columns of the image, where the source leaves them open, as a
            module does.

    Raises:
        InvalidRun: It cannot be read, run or exported.
    """
    named = source if isinstance(source, NamedNetwork) else None
    if isinstance(source, NamedNetwork | nn.Module):
        if input_size is None:
            raise InvalidRun(
                "a module does not say what images it takes: --input-size 224x224, for instance "
                "(Python: input_size)"
            )
        module = source.network if isinstance(source, NamedNetwork) else source
        kind = f"the network {named.text}" if named else "a torch module"
        model = read_module(module, (1, 3, *input_size))
        if named:
            model = replace(model, name=named.name)
        merged = reparameterized(module, torch.zeros(1, 3, *input_size))
        if merged is not module:  # its factory would make the branches again
            model, named = _with_merged(model, module, merged), None
    else:
        source_kind, model = open_source(Path(source), input_size=input_size, trust=trust)
        kind = source_kind.title
    image = image_input(model.input.name, model.input.shape, None, where=model.name)
    graph = exported_graph(model.network, image.shape, model.name)
    graph.graph.set_codegen(fx.graph.CodeGen())  # outputs as a tuple, whatever they lay in
    for node in graph.graph.find_nodes(op="call_function", target=aten.view.default):
        node.target = aten.reshape.default  # of an image whose channels lie last, no view is there
    graph.recompile()
    ends = [activation_name(final_activation(node)) for node in output_nodes(graph)]
    outputs = tuple(Output(t, end) for t, end in zip(model.outputs, ends, strict=True))
    return Found(kind, model, image, graph, outputs, named)


def _with_merged(model: SourceModel, module: nn.Module, merged: nn.Module) -> SourceModel:
    """The model with one layer for each sum of branches; the source stays as it is."""
    note = f"the branches of {len(mergeable(module))} layers are merged, as they run"
    return replace(
        model,
        network=FlatOutputs(merged).eval(),
        hints=replace(model.hints, notes=(*model.hints.notes, note)),
    )


def chosen_outputs(found: Found, wanted: Sequence[str]) -> Found:
    """The outputs of the names of heads, in their order; all as they are, if not all are there."""
    names = [tensor.name for tensor in found.model.outputs]
    if not wanted or not set(wanted) <= set(names) or list(wanted) == names:
        return found
    places = [names.index(name) for name in wanted]
    nodes, answer = output_nodes(found.graph), found.model.answer
    [end] = found.graph.graph.find_nodes(op="output")
    end.args = (tuple(nodes[place] for place in places),)
    found.graph.recompile()
    model = replace(
        found.model,
        outputs=tuple(found.model.outputs[place] for place in places),
        answer=lambda image: tuple(answer(image)[place] for place in places),
    )
    return replace(found, model=model, outputs=tuple(found.outputs[place] for place in places))


def exported_graph(network: nn.Module, shape: Sequence[int], name: str) -> fx.GraphModule:
    """The functional graph of a network for an input of `shape`.

    Raises:
        InvalidRun: torch.export cannot take it.
    """
    try:
        return export(network, torch.zeros(*shape))
    except Exception as error:  # torch.export raises types of its own, many lines long
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRun(
            f"{name} cannot be exported to a graph: {why}. torch.export.export(model.eval(), "
            "(image,)) must take it: write it without branches on values."
        ) from error
