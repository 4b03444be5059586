"""The steps that `preprocessor_config.json` of Hugging Face and timm's data configs stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeskin.errors import CannotExpress
from edgeskin.sources.torchvision_steps import white
from edgeskin.sources.transform_steps import OF_PILLOW, Filter, Resize, Steps

Config = Mapping[str, Any]
_TO_SHORTEST = (
    "CLIP",
    "ConvNext",
    "ConvNeXT",
    "MobileViT",
    "MobileNet",
    "LeViT",
    "Levit",
    "Siglip",
)
"""Begin the names of processors to which a size of one number is the shorter edge."""
FLAGS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_pad")
_LARGE = 384  # from here on ConvNeXt squashes and does not cut
_PILLOW: dict[str, Filter] = {
    "nearest": "nearest", "box": "box", "bilinear": "bilinear", "bicubic": "bicubic",
    "lanczos": "lanczos",
}  # fmt: skip


def is_processor(config: Config) -> bool:
    names = ("image_processor_type", "feature_extractor_type", "do_resize", "do_normalize")
    return any(name in config for name in names)


def is_timm(config: Config) -> bool:
    return "pretrained_cfg" in config or {"input_size", "crop_pct"} <= config.keys()


def processor_name(config: Config) -> str:
    """The class in transformers, by its name of today; empty where the config names none."""
    name = str(config.get("image_processor_type", config.get("feature_extractor_type", "")))
    return name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")


def steps_of_processor(config: Config) -> Steps:
    """Of an image processor's config, `do_*` flags that are absent being true where data follow.

    Raises:
        CannotExpress: A filter or a size that a spec has not.
    """
    steps = Steps()
    if config.get("do_resize", "size" in config):
        steps = _resized(steps, config)
    if config.get("rescale_offset"):
        raise CannotExpress("rescale_offset is not read: write the spec's mean and std by hand")
    if config.get("do_center_crop", "crop_size" in config):
        height, width = _height_width(config.get("crop_size", config.get("size")))
        steps = replace(steps, crop=(height, width))
    if config.get("do_pad"):
        steps = steps.but("it pads, which is left out here")
    scale = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    steps = replace(steps, scale=scale)
    if config.get("do_normalize", "image_mean" in config):
        steps = replace(steps, mean=white(config["image_mean"]), std=white(config["image_std"]))
    return replace(steps, color_order="BGR") if config.get("do_flip_channel_order") else steps


def _resized(steps: Steps, config: Config) -> Steps:
    filter_ = OF_PILLOW.get(int(config.get("resample", 2)))
    if filter_ is None:
        raise CannotExpress(f"no spec has Pillow's filter {config['resample']}")
    size, kind = config.get("size"), processor_name(config)
    if isinstance(size, int):
        squashed = {"height": size, "width": size}
        size = {"shortest_edge": size} if kind.startswith(_TO_SHORTEST) else squashed
    if not isinstance(size, Mapping):
        raise CannotExpress(f"a size that is no number and names no edge: {size}")
    if "height" in size:
        sides = int(size["height"]), int(size["width"])
        return replace(steps, resize=Resize("exact", sides, filter_))
    if "shortest_edge" not in size:
        raise CannotExpress(f"a size without height and width or shortest_edge: {dict(size)}")
    edge = int(size["shortest_edge"])
    if (share := config.get("crop_pct")) is not None and kind.lower().startswith("convnext"):
        return _of_convnext(steps, edge, float(share), filter_)
    steps = replace(steps, resize=Resize("shortest", (edge, edge), filter_))
    if "longest_edge" in size:
        steps = steps.but(f"it keeps the longer edge below {size['longest_edge']}")
    return steps


def _of_convnext(steps: Steps, edge: int, share: float, filter_: Filter) -> Steps:
    if edge >= _LARGE:
        return replace(steps, resize=Resize("exact", (edge, edge), filter_))
    scaled = int(edge / share)
    return replace(steps, resize=Resize("shortest", (scaled, scaled), filter_), crop=(edge, edge))


def _height_width(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and "height" in size:
        return int(size["height"]), int(size["width"])
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    raise CannotExpress(f"a crop without a size: {size}")


def steps_of_timm(config: Config) -> Steps:
    """Of `timm.data.resolve_data_config`, or a model's `config.json`.

    Raises:
        CannotExpress: A filter that a spec has not.
    """
    config = config.get("pretrained_cfg", config)
    name = str(config.get("interpolation", "bicubic"))
    if name not in _PILLOW:
        raise CannotExpress(f"no spec has the interpolation '{name}'")
    height, width = (int(side) for side in config["input_size"][-2:])
    share = float(config.get("crop_pct") or 0.875)
    scaled = math.floor(height / share), math.floor(width / share)
    steps = Steps(scale=1 / 255, mean=white(config["mean"]), std=white(config["std"]))
    mode = config.get("crop_mode") or "center"
    if mode == "squash":
        steps = replace(steps, resize=Resize("exact", scaled, _PILLOW[name]))
        return steps if scaled == (height, width) else replace(steps, crop=(height, width))
    if mode == "border":
        edge = max(scaled)
        steps = replace(steps, resize=Resize("longest", (edge, edge), _PILLOW[name]))
        grey = [round(255 * m) for m in white(config["mean"])]
        steps = replace(steps, pad=(height, width), pad_value=grey[1])
        return steps.but(f"it fills with the colour {grey}; here with {grey[1]} in each")
    edge = min(scaled)
    steps = replace(steps, resize=Resize("shortest", (edge, edge), _PILLOW[name]))
    steps = replace(steps, crop=(height, width))
    return steps if height == width else steps.but("it scales to cover a crop that is not square")
