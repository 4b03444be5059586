"""The networks that are measured: well-known ones, with random weights that behave.

An untrained network's activations explode or vanish, and an INT8 file of it is
noise. `settle` gives what training would, without data: each layer outputs of
deviation 1 (Mishkin & Matas, All You Need Is a Good Init, ICLR 2016), each batch
norm the statistics of real forward passes and an offset of one deviation, each
branch that starts at nothing its full weight, and the last layer outputs of mean 0
and deviation 1 over images. The offset keeps small
disturbances small: through centred ReLUs they grow by the root of pi / (pi - 1)
a layer (Yang et al., A Mean Field Theory of Batch Normalization, ICLR 2019)
until nothing of the image is left. Same seed, same weights.

The table needs no torch; the functions do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
# Gains start at 1e-6 (layer scale) to 0.1; a table of positions starts at zero.
_LEAST_GAIN = 0.5
_NOTHING = 1e-4


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

    run = load_run(folder / "run", trust=True)  # `make_run` wrote it
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
    """Fit layers, batch norms and the last layer to `images`, float32 (N, 3, H, W).

    Leaves eval mode. `network` returns a tuple; its first output is the one fitted.
    """
    import torch

    _open_branches(network)
    norms = _batch_norms(network)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over the passes
        torch.nn.init.ones_(norm.bias)
    batches = images.split(12)
    with torch.no_grad():
        network.train()
        layers = _scale_layers(network, batches[0])
        for norm in norms:
            norm.reset_running_stats()
        for batch in batches if norms else ():
            network(batch)
        network.eval()
        _scale_outputs(network, layers, batches)


def _open_branches(network: nn.Module) -> None:
    """Give gains that start at (nearly) zero the value 1, and tables of zeros small values.

    A residual branch behind a gain of 1e-6, or a batch norm of weight zero, would take no part,
    and converters drop what is multiplied by zero.
    """
    import torch

    for name, parameter in network.named_parameters():
        is_bias = name.endswith("bias") and parameter.dim() == 1
        first = parameter.detach().flatten()[:1]
        if is_bias or parameter.numel() < 2 or first.abs() > _LEAST_GAIN:
            continue
        if bool((parameter == first).all()):
            is_table = "token" in name or "embed" in name
            is_gain = not is_table and sum(size > 1 for size in parameter.shape) == 1
            with torch.no_grad():
                parameter.fill_(1.0) if is_gain else parameter.normal_(0.0, 0.02)


def _batch_norms(network: nn.Module) -> list[Any]:
    from torch import nn

    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    return [m for m in network.modules() if isinstance(m, kinds) and m.affine]


def _scale_layers(network: nn.Module, batch: Tensor) -> list[Any]:
    """Scale each convolution and linear layer to outputs of deviation 1, in the order they run.

    Returns:
        The layers in that order.
    """
    from torch import nn

    ran: list[Any] = []

    def scale(layer: Any, _: Any, out: Tensor) -> Tensor | None:
        if layer in ran:  # one whose weights serve twice
            return None
        ran.append(layer)
        deviation = out.std()
        if not deviation > _NOTHING:
            return None
        _divide(layer, deviation)
        return out / deviation

    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    network(batch)
    for hook in hooks:
        hook.remove()
    return ran


def _scale_outputs(network: nn.Module, layers: Sequence[Any], batches: Sequence[Tensor]) -> None:
    """Fit the last layers so that the output has mean 0 and deviation 1 over images.

    The output is that of the last layer, or the mean or sum of several such (distilled
    transformers have two heads): all are scaled, the bias of the last one is moved. How far the
    output follows it is 1 for a sum and 1/2 for a mean of two, and is found by moving it.
    """
    out = _first_output(network, batches)
    over = [axis for axis in range(out.dim()) if axis != 1]
    mean = out.mean(over)
    deviation = (out - out.mean(over, keepdim=True)).std()
    last, channels = layers[-1], out.shape[1]
    heads = [layer for layer in layers if type(layer) is type(last) and _width(layer) == channels]
    for head in heads or [last]:
        _divide(head, deviation)
    if last.bias is None or _width(last) != channels:
        return
    mean = mean / deviation
    last.bias -= mean
    rest = _first_output(network, batches).mean(over)
    follows = 1.0 - float((rest @ mean) / (mean @ mean))
    last.bias -= rest / follows


def _first_output(network: nn.Module, batches: Sequence[Tensor]) -> Tensor:
    import torch

    return torch.cat([network(batch)[0] for batch in batches])


def _width(layer: Any) -> int:
    return int(layer.weight.shape[0])


def _divide(layer: Any, by: Tensor) -> None:
    layer.weight /= by
    if layer.bias is not None:
        layer.bias /= by


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
