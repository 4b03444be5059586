"""Settings of the process that make a CPU train faster, for as long as it trains."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from edgeskin.training.recipe import Precision

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's malloc.h


def precision_here(asked: Precision) -> Literal["32-true", "bf16-mixed"]:
    """What is asked for; `auto` is bfloat16 where the CPU multiplies in it.

    Elsewhere bfloat16 is emulated: EfficientNet-Lite0 on one thread of a CPU that ends at AVX2
    trained on 1.3 images a second in bfloat16, on 11.9 in float32.
    """
    if asked != "auto":
        return asked
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if able.get("amx_bf16") or able.get("avx512_bf16") else "32-true"


@contextmanager
def fast_arithmetic() -> Iterator[None]:
    """Denormal numbers count as zero: gradients that small are slow, and nothing."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # it holds for the whole process


class _Depthwise(nn.Conv2d):
    """A depthwise convolution that autocast leaves in float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


@contextmanager
def float32_depthwise(*networks: nn.Module) -> Iterator[None]:
    """Depthwise convolutions compute in float32, for as long as this lasts, under autocast too.

    Their gradient in bfloat16 takes 2 to 8 times as long where the CPU has no AMX
    (EfficientNet-Lite0, one thread of an AMD EPYC: 11.2 images a second, so 20.7).
    """
    slow = not torch.cpu.get_capabilities().get("amx_bf16")
    chosen = [module for network in networks for module in network.modules()]
    chosen = [m for m in chosen if slow and type(m) is nn.Conv2d and m.groups == m.in_channels > 1]
    for module in chosen:
        module.__class__ = _Depthwise  # the type alone: state and copies stay a convolution's
    try:
        yield
    finally:
        for module in chosen:
            module.__class__ = nn.Conv2d


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the rest of the process.

    It gives large blocks back to the kernel at once, and a fresh block costs a page
    fault every 4 KiB: a third of the time of a training step.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
