"""Mutants that a converter makes which gets something wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tiny_network import Tiny
from torch import Tensor, nn

from edgeskin.converters.model import Job
from edgeskin.models.app_model import AppModel, Layout
from mutations.edits import said
from mutations.world import SPEC, World

Mistake = Callable[["Mistaken", Layout], nn.Module]


@dataclass(frozen=True)
class Mistaken(Job):
    """A job that is converted as another module than its own."""

    mistake: Mistake = field(kw_only=True)

    def module(self, layout: Layout) -> nn.Module:
        module = self.mistake(self, layout)
        module.training = False
        return module.requires_grad_(False)


def by_mistake(mistake: Mistake, precision: str = "fp32") -> Callable[[World, str], Path]:
    def make(world: World, target: str) -> Path:
        job = world.job(precision)
        return world.convert(Mistaken(job.network, job.metadata, mistake=mistake), target)

    return make


def of_spec(**changes: object) -> Mistake:
    """The module of a spec whose input differs; the file says the right one."""

    def mistake(job: Mistaken, layout: Layout) -> nn.Module:
        spec = job.metadata.spec
        wrong = spec.model_copy(update={"input": spec.input.model_copy(update=changes)})
        return AppModel(job.network, wrong, layout)

    return mistake


class Around(nn.Module):
    """A network with something done to its input and to its raw heads."""

    def __init__(self, network: nn.Module, before: Any = None, after: Any = None):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        raw: tuple[Tensor, ...] = self.network(self.before(x) if self.before else x)
        return self.after(raw) if self.after else raw


def around(before: Any = None, after: Any = None) -> Mistake:
    def mistake(job: Mistaken, layout: Layout) -> nn.Module:
        return AppModel(Around(job.network, before, after), job.metadata.spec, layout)

    return mistake


def of_network(change: Callable[[nn.Module], None]) -> Mistake:
    def mistake(job: Mistaken, layout: Layout) -> nn.Module:
        network = copy.deepcopy(job.network)
        with torch.no_grad():
            change(network)
        return AppModel(network, job.metadata.spec, layout)

    return mistake


MEAN, STD = (torch.tensor(v)[:, None, None] for v in (SPEC.input.mean, SPEC.input.std))


def normalized_again(x: Tensor) -> Tensor:
    return (x - MEAN) / STD


class Misread(nn.Module):
    """An image in NHWC whose bytes are read as NCHW."""

    def __init__(self, job: Mistaken, layout: Layout):
        super().__init__()
        self.model, self.layout = AppModel(job.network, job.metadata.spec, "NCHW"), layout

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        nhwc = image if self.layout == "NHWC" else image.permute(0, 2, 3, 1)
        out: tuple[Tensor, ...] = self.model(nhwc.reshape(1, 3, 40, 48))
        return out


def by_columns(x: Tensor) -> Tensor:
    return x.transpose(2, 3).reshape(1, 3, 40, 48)


def softmax_first(raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return raw[0].softmax(1), raw[1].softmax(1), raw[2], raw[3].softmax(1)


def classes_shuffled(raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (raw[0][:, [2, 0, 1]], *raw[1:])


def initial_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


def doubled_variance(network: nn.Module) -> None:
    """Statistics of other data: no mistake that the table of causes knows."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var *= torch.linspace(0.2, 3.0, len(module.running_var))
            module.running_mean += torch.linspace(-0.5, 0.5, len(module.running_mean))


def another_epoch(network: nn.Module) -> None:
    torch.manual_seed(5)
    for weight in network.parameters():
        weight += 0.05 * weight.abs().mean() * torch.randn_like(weight)


def one_sign(network: nn.Module) -> None:
    """Of the stem's weight of middling size."""
    weight = network.network.stem[0].weight.view(-1)
    weight[weight.abs().argsort()[len(weight) // 2]] *= -1


def batch_norm_epsilon(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3


def relu6_at(network: nn.Module) -> None:
    network.network.stem[2] = nn.Hardtanh(0.0, 1.9)


class Straight(Tiny):
    """Without the sum of stem and depthwise branch."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.depthwise(self.stem(x))
        features = self.pool(x).flatten(1)
        return (*(4.0 * head(features) for head in self.heads), self.pixels(x))


def no_residual(network: nn.Module) -> None:
    network.network.__class__ = Straight


def beyond_float16(network: nn.Module) -> None:
    tiny = network.network
    tiny.heads[2].weight *= 1e6


class HeadsSwapped(nn.Module):
    """The decoded outputs `a` and `b` under each other's name."""

    def __init__(self, module: nn.Module, a: int, b: int):
        super().__init__()
        self.module, self.a, self.b = module, a, b

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        out = list(self.module(image))
        out[self.a], out[self.b] = out[self.b], out[self.a]
        return tuple(out)


def heads_swapped(a: int, b: int) -> Mistake:
    return lambda job, layout: HeadsSwapped(AppModel(job.network, job.metadata.spec, layout), a, b)


def overflow_job(world: World) -> Job:
    network = copy.deepcopy(world.network)
    with torch.no_grad():
        beyond_float16(network)
    return world.job("fp16", network=network)


def overflowing(world: World, target: str) -> Path:
    """A network whose values do not fit float16, converted to it without a mistake."""
    return world.convert(overflow_job(world), target)


def turned(world: World, target: str) -> Path:
    """A file whose input has the sides of the image the other way round."""
    size = world.spec.input.model_copy(update={"height": 48, "width": 40})
    job = world.job("fp32")
    spec = world.spec.model_copy(update={"input": size})
    path = world.convert(replace(job, metadata=replace(job.metadata, spec=spec)), target)
    return said(path, world.job("fp32").metadata)


def of_other_run(world: World, target: str) -> Path:
    """The weights of another epoch, which the file names."""
    job = world.job("fp32")
    network = copy.deepcopy(job.network)
    with torch.no_grad():
        another_epoch(network)
    metadata = replace(job.metadata, weights_sha256="0123456789abcdef" * 4)
    return world.convert(Job(network, metadata), target)


def one_left_float(world: World, target: str) -> Path:
    """An "int8" file of a program with a layer left out that its own program has."""
    program = world.calibrated(exclude=["network.depthwise.*"])
    return world.convert(replace(world.job("int8"), network=program.module), target)
