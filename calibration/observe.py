"""The one pass of the images that the ranges of the activations come from."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

from edgeskin.calibration.finalize import name_not_finite
from edgeskin.calibration.graphs import layer_name
from edgeskin.calibration.observers import ActivationObserver
from edgeskin.calibration.quantizer import EdgeQuantizer
from edgeskin.progress import Progress


@torch.no_grad()
def observe(
    reference: GraphModule,
    quantizer: EdgeQuantizer,
    samples: Sequence[Tensor],
    progress: Progress,
) -> GraphModule:
    """A copy of `reference` whose observers have seen every sample, ready for convert_pt2e.

    The even samples are one half of `ActivationObserver.half_scales`, the odd ones the other.

    Args:
        progress: Called with (what, samples done, samples in all).

    Raises:
        InvalidRun: A sample leads to NaN or infinity; names the first layer that gives it.
    """
    prepared = prepare_pt2e(copy.deepcopy(reference), quantizer)
    watching = _observers(prepared).values()
    done = 0
    for half in range(2):
        for observer in watching:
            observer.half = half
        for index in range(half, len(samples), 2):
            sample = samples[index]
            if not all(output.isfinite().all() for output in prepared(sample)):
                name_not_finite(reference, [sample])
            done += 1
            progress("calibrating", done, len(samples))
    if not all(observer.finite() for observer in watching):
        name_not_finite(reference, samples)
    return prepared


def instability(prepared: GraphModule, reference: GraphModule) -> dict[str, float]:
    """How much larger one half's scale is than the other's, 0.2 being 20 %.

    By the node of `reference` that gives the tensor, and the layer that it belongs to.
    """
    layers = {node.name: layer_name(node) for node in reference.graph.nodes}
    ratios = {}
    for name, observer in _observers(prepared).items():
        low, high = sorted(observer.half_scales())
        ratios[f"{layers[name]} ({name})"] = high / low - 1
    return ratios


def _observers(prepared: GraphModule) -> dict[str, ActivationObserver]:
    """The observers of activations by the node in front; tensors of one range share one."""
    first_sources: dict[ActivationObserver, str] = {}
    for node in prepared.graph.nodes:
        if node.op != "call_module":
            continue
        module, [source, *_] = prepared.get_submodule(str(node.target)), node.all_input_nodes
        if isinstance(module, ActivationObserver) and source.op != "get_attr":
            first_sources.setdefault(module, source.name)
    return {name: observer for observer, name in first_sources.items()}
