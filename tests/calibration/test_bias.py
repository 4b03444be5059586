"""Bias correction restores means; biases fit into int32."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from edgeskin.calibration.bias import correct_biases, most_samples
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.graphs import (
    DEQUANTIZE_CHANNELS,
    LAYERS,
    Run,
    argument,
    attribute,
    layers,
    replace_attribute,
)
from edgeskin.calibration.program import Program
from edgeskin.calibration.rewrites import flatten
from edgeskin.spec import Spec


class LayerMeans(Interpreter):
    """Collects the mean of each layer's output per channel."""

    def __init__(self, graph: GraphModule):
        super().__init__(graph)
        self.means: list[Tensor] = []

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if n.target in LAYERS:
            self.means.append(value.transpose(0, 1).flatten(1).mean(1))
        return value


def layer_means(graph: GraphModule, samples: list[Tensor]) -> Tensor:
    runs = [LayerMeans(graph) for _ in samples]
    for run, sample in zip(runs, samples, strict=True):
        run.run(sample)
    return torch.stack([torch.cat(run.means) for run in runs]).mean(0)


def coarsen(graph: GraphModule) -> None:
    """Round the weights to 7 levels."""
    for node in {layer.args[1] for layer in layers(graph)}:
        weight = attribute(graph, node)
        step = weight.abs().max() / 3
        replace_attribute(graph, node, (weight / step).round() * step)


def test_corrected_layers_have_the_means_of_the_float_ones(network: nn.Module) -> None:
    random = torch.Generator().manual_seed(1)
    samples = [torch.randn(1, 3, 32, 32, generator=random) for _ in range(4)]
    reference, shifted = flatten(network, samples[0]), flatten(network, samples[0])
    coarsen(shifted)
    wanted = layer_means(reference, samples)
    before = (layer_means(shifted, samples) - wanted).abs().max()
    correct_biases(shifted, reference, samples)
    after = (layer_means(shifted, samples) - wanted).abs().max()
    assert before > 0.05
    assert after < 1e-5  # float32 rounding of a mean over 4 images


def test_a_layer_runs_once_an_image_and_a_weight_is_made_once(
    program: Program, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: Counter[Node] = Counter()

    def counted(run: Run, node: Node) -> object:
        runs[node] += 1
        return Interpreter.run_node(run, node)

    monkeypatch.setattr(Run, "run_node", counted, raising=False)
    graph, samples = copy.deepcopy(program.module), [program.example() + i for i in range(3)]
    correct_biases(graph, flatten(network, samples[0]), samples)
    made = {argument(layer, "weight") for layer in layers(graph)}
    assert {node.target for node in made} == {DEQUANTIZE_CHANNELS}
    assert {runs[node] for node in made} == {1}
    assert set(runs.values()) == {1, 3}


def test_a_nearly_dead_channel_keeps_its_bias(
    network: nn.Module, spec: Spec, images: list[NDArray[np.uint8]]
) -> None:
    with torch.no_grad():
        network.project.weight[2] = 1e-12
        network.project.bias[2] = 50.0
    graph = calibrate_network(network, spec, images, method="minmax").module
    for layer in layers(graph):
        x, weight, bias = layer.args[:3]
        units = attribute(graph, bias) / (x.args[1] * attribute(graph, weight.args[1]))
        assert units.abs().max() < 2**31


def test_a_bias_that_two_layers_share_is_left_alone() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (self.layer(self.layer(x)),)

    x = torch.ones(1, 4)
    reference, shifted = flatten(Twice(), x), flatten(Twice(), x)
    coarsen(shifted)
    assert not torch.equal(reference(x)[0], shifted(x)[0])
    bias = layers(shifted)[0].args[2]
    before = attribute(shifted, bias).clone()
    correct_biases(shifted, reference, [x])
    assert torch.equal(attribute(shifted, bias), before)


def test_large_images_are_fewer_so_that_memory_stays() -> None:
    found = [most_samples(3 * size * size) for size in (32, 224, 448, 1024, 4096)]
    assert found == [32, 32, 8, 4, 4]
