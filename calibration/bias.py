"""Bias correction: quantized layers brought back to the mean of their float twins.

Rounding a weight shifts the mean of each output channel, and the next layers
add their own shift to it. Walking the quantized graph from input to output, the
mean of every channel is compared with the float network's on the same images,
and the difference goes into the bias, before the next layer is looked at
(Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019, section 4.2, with images instead of batch-norm statistics).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgeskin.calibration.graphs import (
    CONVOLUTION,
    LAYERS,
    Run,
    attribute,
    bias_of,
    constants,
    layers,
    replace_attribute,
)
from edgeskin.progress import Progress, silent

# Enough for a mean; each image's live activations are held at the same time, so that of larger
# images there are fewer, whose means are over more pixels.
MOST_SAMPLES, _LEAST_SAMPLES = 32, 4
_VALUES = MOST_SAMPLES * 3 * 224 * 224


@torch.no_grad()
def correct_biases(
    graph: GraphModule,
    reference: GraphModule,
    samples: Sequence[Tensor],
    progress: Progress = silent,
    *,
    means: Sequence[Tensor] | None = None,
) -> None:
    """Change the biases of the quantized `graph`, in place; what they were before is no matter.

    Args:
        graph: Quantized from `reference`: the same layers in the same order.
        reference: The float graph.
        samples: Inputs, float32 (1, 3, H, W); `most_samples` of them, evenly spread, are used.
        progress: Called with (what, layers done, layers in all).
        means: What `channel_means` gives of `reference` and `samples`, where it is known.
    """
    means = channel_means(reference, samples) if means is None else means
    samples = _spread(samples)
    float_means = dict(zip(layers(graph), means, strict=True))
    runs = [Run(graph, sample) for sample in samples]
    order, fixed = list(float_means), constants(graph)
    for node in graph.graph.nodes:
        if node.op == "output":
            return
        values = [run.step(node) for run in (runs[:1] if node in fixed else runs)]
        if node in fixed:
            for run in runs:
                run.env[node] = values[0]
        if node in float_means:
            progress("correcting biases", order.index(node) + 1, len(order))
        if node in float_means and (bias := _own_bias(node)):
            shift = float_means[node] - _mean(values, node)
            replace_attribute(graph, bias, attribute(graph, bias) + shift)
            for run in runs:
                run.env[node] = run.env[node] + _along_channels(shift, node, run.env[node])
        for run in runs:
            run.forget(node)


def most_samples(values: int) -> int:
    """Inputs of so many values that biases are corrected with: 32 of 3 x 224 x 224 each.

    >>> most_samples(3 * 1024 * 1024)
    4
    """
    return max(_LEAST_SAMPLES, min(MOST_SAMPLES, _VALUES // values))


def _spread(samples: Sequence[Tensor]) -> list[Tensor]:
    """`most_samples` of the samples, evenly spread."""
    count = min(len(samples), most_samples(samples[0].numel()))
    return [samples[index * len(samples) // count] for index in range(count)]


@torch.no_grad()
def channel_means(graph: GraphModule, samples: Sequence[Tensor]) -> list[Tensor]:
    """The mean output of each layer per channel, (channels,), in the order of the graph.

    Over those of the samples that biases are corrected with.
    """
    samples = _spread(samples)
    totals: dict[Node, Any] = {}
    for sample in samples:
        run = Run(graph, sample)
        for node in graph.graph.nodes:
            if node.op == "output":
                break
            value = run.step(node)
            if node.target in LAYERS:
                totals[node] = totals.get(node, 0) + _mean([value], node) / len(samples)
            run.forget(node)
    return list(totals.values())


def _mean(values: Sequence[Tensor], node: Node) -> Tensor:
    """Mean over images and positions, (channels,)."""
    axis = _channel_axis(node, values[0])
    others = [dim for dim in range(values[0].dim()) if dim != axis]
    return torch.stack([value.mean(others) for value in values]).mean(0)


def _channel_axis(node: Node, value: Tensor) -> int:
    """1 for a convolution's (N, C, H, W), the last for a linear layer's (N, ..., C)."""
    return 1 if node.target is CONVOLUTION else value.dim() - 1


def _along_channels(vector: Tensor, node: Node, value: Tensor) -> Tensor:
    """(channels,) shaped so that it adds to `value`."""
    shape = [1] * value.dim()
    shape[_channel_axis(node, value)] = -1
    return vector.reshape(shape)


def _own_bias(layer: Node) -> Node | None:
    """The bias of the layer, unless another layer uses it too."""
    bias = bias_of(layer)
    return bias if bias is not None and len(bias.users) == 1 else None
