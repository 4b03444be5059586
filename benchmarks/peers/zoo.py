"""The networks that are measured: well-known ones, with random weights that behave.

An untrained network's activations explode or vanish, and an INT8 file of it is
noise. `settle` gives what training would, without data: each batch norm the
statistics of real forward passes and an offset of one deviation, and the last
layer outputs of mean 0 and deviation 1 over images. The offset keeps small
disturbances small: through centred ReLUs they grow by the root of pi / (pi - 1)
a layer (Yang et al., A Mean Field Theory of Batch Normalization, ICLR 2019)
until nothing of the image is left. Same seed, same weights.

The table needs no torch; the functions do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import UnknownName
from edgeskin.models import MEAN, STD
from edgeskin.spec import ClassificationHead, InputSpec, SegmentationHead, Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

SETTLING, CALIBRATION, TEST = 48, 12, 8
"""Images for batch norms, for scales (the same for every tool), and for SQNR."""
PIXELS = 224


@dataclass(frozen=True)
class Model:
    """A network by the factory that makes it; `title` is its name in tables."""

    title: str
    spec: Spec


def _spec(name: str, arch: str, arguments: Mapping[str, Any], head: Any) -> Spec:
    return Spec(
        name=name,
        task="benchmark",
        arch=arch,
        arch_args=dict(arguments),
        input=InputSpec(height=PIXELS, width=PIXELS, resize="squash", mean=MEAN, std=STD),
        heads=(head,),
        license="CC0-1.0",
        intended_use="Measuring speed. The weights are random.",
    )


def _classifier(name: str, title: str, timm_name: str) -> Model:
    head = ClassificationHead(name="logits", labels=tuple(f"class_{i}" for i in range(1000)))
    arguments: dict[str, Any] = {"model_name": timm_name}
    if timm_name.startswith("resnet"):  # else branches have weight zero, which converters drop
        arguments["zero_init_last"] = False
    return Model(title, _spec(name, "timm:create_model", arguments, head))


def _segmenter(name: str, title: str) -> Model:
    head = SegmentationHead(name="logits", labels=("background", "lesion"))
    arch = "edgeskin.models.deeplab:DeepLabV3Plus"
    return Model(title, _spec(name, arch, {"classes": len(head.labels)}, head))


MODELS = {
    model.spec.name: model
    for model in (
        _classifier("mobilenet_v3_small", "MobileNetV3-Small", "mobilenetv3_small_100"),
        _classifier("mobilenet_v3_large", "MobileNetV3-Large", "mobilenetv3_large_100"),
        _classifier("efficientnet_lite0", "EfficientNet-Lite0", "efficientnet_lite0"),
        _classifier("resnet50", "ResNet50", "resnet50"),
        _classifier("efficientnet_v2_s", "EfficientNetV2-S", "efficientnetv2_s"),
        _segmenter("deeplab_v3_plus", "DeepLabV3+ MobileNetV2"),
        _classifier("vit_tiny", "ViT-Tiny/16", "vit_tiny_patch16_224"),
    )
}


def find_models(names: str | None) -> list[Model]:
    """The models of a comma-separated list, in its order; all of them for None.

    Raises:
        UnknownName: One is not in `MODELS`.
    """
    asked = [name.strip() for name in names.split(",")] if names else list(MODELS)
    for name in asked:
        if name not in MODELS:
            raise UnknownName(f"no model '{name}'; there are {', '.join(MODELS)}")
    return [MODELS[name] for name in asked]


def make_run(folder: Path, path: Path) -> None:
    """Write the network of `folder/spec.json`, settled, as a run."""
    import torch

    from edgeskin.models.architectures import build
    from edgeskin.models.run import save_run

    spec = Spec.load(folder)
    torch.manual_seed(0)
    network = build(spec)
    settle(network, normalized(spec, pictures(spec.input, SETTLING, seed=0)))
    save_run(path, spec, network)


def make_samples(folder: Path, path: Path) -> None:
    """Write what every build is calibrated with and compared on, one `.npz`.

    `calibration` uint8 (12, H, W, 3), `test` float32 (8, 3, H, W) normalised, and
    `reference`, the float network's raw outputs for `test` by PyTorch.
    """
    import torch

    from edgeskin.models.run import load_run

    run = load_run(folder / "run")
    test = normalized(run.spec, pictures(run.spec.input, TEST, seed=2))
    with torch.inference_mode():
        reference = torch.cat([run.network(x[None])[0] for x in test])
    np.savez(
        path,
        calibration=pictures(run.spec.input, CALIBRATION, seed=1),
        test=test.numpy(),
        reference=reference.numpy(),
    )


def settle(network: nn.Module, images: Tensor) -> None:
    """Fit batch norms and the last layer to `images`, float32 (N, 3, H, W); leaves eval mode."""
    import torch
    from torch import nn

    modules = list(network.modules())
    for norm in modules:
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # the plain average over the passes
            nn.init.ones_(norm.bias)
    last = [m for m in modules if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    assert last.bias is not None
    with torch.no_grad():
        network.train()
        for batch in images.split(12):
            network(batch)
        network.eval()
        out = torch.cat([network(batch)[0] for batch in images.split(12)])
        over = [axis for axis in range(out.dim()) if axis != 1]
        mean = out.mean(over, keepdim=True)
        deviation = (out - mean).std()
        last.weight /= deviation
        last.bias.copy_((last.bias - mean.flatten()) / deviation)


def pictures(size: InputSpec, count: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random colour with grain, each of its own contrast; uint8 (count, H, W, 3)."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (*rng.integers(3, 12, 2), 3)).astype(np.float32)
        smooth = cv2.resize(coarse, (size.width, size.height), interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, rng.uniform(1, 8), smooth.shape)
        middle = smooth.mean()
        found.append((smooth - middle) * rng.uniform(0.3, 1.0) + middle + grain)
    return np.rint(found).clip(0, 255).astype(np.uint8)


def normalized(spec: Spec, images: NDArray[np.uint8]) -> Tensor:
    """float32 (N, 3, H, W), as the network takes them."""
    import torch

    from edgeskin.models.app_model import AppModel

    return AppModel(torch.nn.Identity(), spec).normalize(torch.from_numpy(images)).contiguous()
