"""Networks: one of our own table by its name, or somebody else's factory.

A network takes the normalised image, float32 (N, 3, H, W), and returns a tuple
with one raw tensor a head, in the order of `spec.heads`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from edgeskin.errors import InvalidRun, InvalidSpec, UnknownName
from edgeskin.models import ARCHS, Arch
from edgeskin.models.trust import find_factory
from edgeskin.spec import Spec, first_problem


class Foreign(nn.Module):
    """Somebody else's network, its output (tensor, sequence or mapping) made a tuple."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out = self.network(x)
        if isinstance(out, Tensor):
            return (out,)
        if isinstance(out, Mapping):
            return tuple(out[name] for name in self.names)
        return tuple(out)


def build(spec: Spec, *, pretrained: bool = False, trust: bool = False) -> nn.Module:
    """The network that `spec.arch` names, with random or ImageNet weights.

    Args:
        trust: Call the factory that `spec.arch` names, whoever wrote it; see `trust.py`.

    Raises:
        UnknownName: No such network, module or factory, or a head that it cannot give.
        NotTrusted: A factory that needs `trust`.
        InvalidSpec: A size or arguments (`spec.arch_args`) that the network does not take.
        MissingPackage: `pretrained` where the package with the weights is missing.
    """
    if ":" in spec.arch:
        network = call_factory(spec.arch, spec.arch_args, trust=trust)
        return Foreign(network, tuple(head.name for head in spec.heads))
    arch = find_arch(spec.arch)
    _check_size(arch, spec)
    module, _, name = arch.builder.partition(":")
    builder: Callable[..., nn.Module] = getattr(importlib.import_module(module), name)
    try:
        return builder(arch, spec, pretrained, **spec.arch_args)
    except ValidationError as error:
        parameters = inspect.signature(builder).parameters.values()
        names = ", ".join(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        raise InvalidSpec(
            f"arch_args of {arch.name}: {first_problem(error)}. It takes {names}."
        ) from error


def find_arch(name: str) -> Arch:
    if name not in ARCHS:
        raise UnknownName(f"no network '{name}'; there are {', '.join(sorted(ARCHS))}")
    return ARCHS[name]


def _check_size(arch: Arch, spec: Spec) -> None:
    height, width = spec.input.height, spec.input.width
    if height % arch.multiple or width % arch.multiple:
        raise InvalidSpec(
            f"{arch.name} takes heights and widths that are multiples of {arch.multiple}, "
            f"got {height} x {width}. Choose another size."
        )


def call_factory(arch: str, arguments: Mapping[str, Any], *, trust: bool) -> nn.Module:
    """The network that somebody's factory, `package.module:name`, gives for `arguments`.

    Raises:
        UnknownName: No such module or factory.
        NotTrusted: It needs `trust`.
        InvalidRun: It fails, or gives no module.
    """
    factory = find_factory(arch, arguments, trust=trust)
    try:
        network = factory(**arguments)
    except Exception as error:  # somebody else's code may raise anything
        raise InvalidRun(
            f"{arch} fails with the arguments {dict(arguments)}: "
            f"{type(error).__name__}: {error}. Mend it, or pass other --model-args to import."
        ) from error
    if not isinstance(network, nn.Module):
        raise InvalidRun(f"{arch} gave a {type(network).__name__}, not a torch.nn.Module")
    return network
