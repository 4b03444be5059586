"""A program as a graph to train: the same function, the same structure, and back again."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from small_network import SIZE, make_network
from torch import Tensor, nn
from torch.fx import GraphModule

from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.fake_quant import FixedRange, LearnedRange, MovingRange, Weight
from edgeskin.calibration.graphs import QUANTIZE, argument, aten, attribute, layers
from edgeskin.calibration.program import Program, load_program, save_program
from edgeskin.calibration.rewrites import flatten
from edgeskin.calibration.trainable import settled, shared_ranges, trainable
from edgeskin.spec import Spec

Images = list[NDArray[np.uint8]]
BOTH = pytest.mark.parametrize("learned", [True, False], ids=["learned", "moving"])


class Headed(nn.Module):
    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(nn.Linear(backbone.num_features, size) for size in (4, 65))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.backbone(x)
        return tuple(head(features) for head in self.heads)


def transformer() -> nn.Module:
    """Class token, position embedding, attention: each names the batch of one."""
    torch.manual_seed(0)
    made = timm.create_model(
        "vit_tiny_patch16_224", img_size=SIZE, depth=2, embed_dim=48, num_heads=3, num_classes=0
    )
    return Headed(made).eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {"small": make_network, "transformer": transformer}


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request: pytest.FixtureRequest, spec: Spec, images: Images) -> tuple[Program, GraphModule]:
    """A program and the float graph that it was made from."""
    network = NETWORKS[request.param]()
    made = calibrate_network(network, spec, images[:8], method="minmax")
    return made, flatten(network, made.example())


def batch(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4)).clamp(
        -1, 1
    )


def one_by_one(module: nn.Module, x: Tensor) -> list[Tensor]:
    """The heads of each image alone."""
    parts = [module(x[index : index + 1]) for index in range(len(x))]
    return [torch.cat(head) for head in zip(*parts, strict=True)]


@torch.no_grad()
def disturb(module: GraphModule) -> None:
    """As training does: weights, biases and ranges a little different."""
    generator = torch.Generator().manual_seed(6)
    for parameter in module.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator)
            spread = 0.05 if parameter.dim() == 0 else 0.05 * parameter.abs().mean() + 1e-3
            parameter += spread * noise
    for part in module.modules():
        if isinstance(part, MovingRange):
            part.low.mul_(1.03)
            part.high.mul_(0.98)


def test_it_starts_as_the_program_for_any_batch(pair: tuple[Program, GraphModule]) -> None:
    program, reference = pair
    module = trainable(program, reference, learned=True).eval()
    x = batch()
    for ours, theirs in zip(module(x), one_by_one(program.module, x), strict=True):
        # A sum in another order may put a value on the other side of a rounding, and one step
        # of 255 early on may move the outputs by a few of theirs: 5 / 255 at most, seldom.
        assert (ours - theirs).abs().max() <= 0.02 * theirs.abs().max()
        assert (ours - theirs).abs().mean() <= 0.002 * theirs.abs().max()


@BOTH
def test_what_was_learned_comes_back_bit_by_bit(
    pair: tuple[Program, GraphModule], learned: bool, tmp_path: Path
) -> None:
    program, reference = pair
    module = trainable(program, reference, learned=learned).eval()
    disturb(module)
    made = settled(module, program)
    x = batch()
    for ours, theirs in zip(one_by_one(made, x), one_by_one(module, x), strict=True):
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours[0], ours[1])
    save_program(tmp_path / "p.pt2", Program(program.spec, program.scheme, module=made))
    loaded = load_program(tmp_path / "p.pt2").module
    for ours, theirs in zip(one_by_one(loaded, x), one_by_one(made, x), strict=True):
        assert torch.equal(ours, theirs)


@BOTH
def test_the_structure_is_the_programs_own(
    pair: tuple[Program, GraphModule], learned: bool
) -> None:
    program, reference = pair
    module = trainable(program, reference, learned=learned)
    disturb(module)
    made = settled(module, program)
    for ours, theirs in zip(made.graph.nodes, program.module.graph.nodes, strict=True):
        assert (ours.op, ours.target, ours.name) == (theirs.op, theirs.target, theirs.name)
    scales = [float(argument(n, "scale")) for n in made.graph.nodes if n.target is QUANTIZE]
    scales += [s for n in layers(made) for s in attribute(made, n.args[1].args[1]).tolist()]
    assert all(scale == float(torch.tensor(scale).half()) for scale in scales)


def test_an_untrained_graph_settles_to_its_program(pair: tuple[Program, GraphModule]) -> None:
    program, reference = pair
    made = settled(trainable(program, reference, learned=True), program)
    for ours, theirs in zip(made.graph.nodes, program.module.graph.nodes, strict=True):
        assert ours.format_node() == theirs.format_node()
        if ours.op == "get_attr":
            assert torch.equal(attribute(made, ours), attribute(program.module, theirs))


def test_the_callers_program_is_left_as_it_was(pair: tuple[Program, GraphModule]) -> None:
    program, reference = pair
    before = one_by_one(program.module, batch(1))
    module = trainable(program, reference, learned=True)
    disturb(module)
    settled(module, program)
    assert all(map(torch.equal, one_by_one(program.module, batch(1)), before))


def test_shared_ranges_stay_shared_and_known_ones_fixed(spec: Spec, images: Images) -> None:
    """SmallNet: a residual, pooled twice, joined: one range. Input and sigmoid: known."""
    network = make_network()
    program = calibrate_network(network, spec, images[:8], method="minmax")
    ranges = shared_ranges(program.module)
    joined = max(ranges, key=lambda shared: len(shared.steps))
    sources = {step.args[0].target for step in joined.steps}
    assert {aten.max_pool2d.default, aten.avg_pool2d.default, aten.cat.default} <= sources
    fixed = [shared.steps[0].args[0] for shared in ranges if shared.fixed]
    assert [node.target for node in fixed if node.op != "placeholder"] == [aten.sigmoid.default]
    assert [node.op for node in fixed].count("placeholder") == 1
    module = trainable(program, flatten(network, program.example()), learned=True)
    fakes = [module.get_submodule(f"ranges.{i}") for i in range(len(ranges))]
    kinds = [type(fake) for fake in fakes]
    assert kinds == [FixedRange if shared.fixed else LearnedRange for shared in ranges]
    clamped = [s.steps[0].args[0].target is aten.clamp.default for s in ranges if not s.fixed]
    limits = [fake.limit for fake in fakes if isinstance(fake, LearnedRange)]
    assert any(clamped)
    assert [math.isfinite(limit) for limit in limits] == clamped


def test_equal_ranges_that_nothing_joins_are_apart(spec: Spec, images: Images) -> None:
    """Two ReLU6 that both reach 6 have one scale by chance; they are trained one by one."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
            self.head, self.count = nn.Linear(8, 4), nn.Linear(8, 65)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = nn.functional.relu6(40 * self.one(x))
            x = nn.functional.relu6(40 * self.two(x)).mean((2, 3))
            return self.head(x), self.count(x)

    torch.manual_seed(0)
    program = calibrate_network(Twice().eval(), spec, images[:4], method="minmax")
    clamped = [
        shared
        for shared in shared_ranges(program.module)
        if shared.steps[0].args[0].target is aten.clamp.default
    ]
    assert len(clamped) == 2
    assert clamped[0].steps[0].args[1:] == clamped[1].steps[0].args[1:]


def test_what_is_trained(spec: Spec, images: Images) -> None:
    """Every weight and bias of a layer and every range that is not known; nothing else."""
    network = make_network()
    program = calibrate_network(network, spec, images[:8], method="minmax")
    module = trainable(program, flatten(network, program.example()), learned=True)
    sum(head.square().mean() for head in module(batch(2))).backward()
    got = {name for name, p in module.named_parameters() if p.grad is not None}
    count = len(layers(program.module))
    assert sum(isinstance(part, Weight) for part in module.modules()) == count == 8
    assert sum(name.endswith(".values") for name in got) == count
    assert sum("bias" in name for name in got) == count
    learned = sum(not shared.fixed for shared in shared_ranges(program.module))
    assert sum(name.endswith("growth") for name in got) == learned + count
