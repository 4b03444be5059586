"""The steps of torchvision's transforms, of its first and second kind, and of timm's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from edgeskin.errors import CannotExpress
from edgeskin.sources.transform_steps import Filter, Resize, Size, Steps, White

_FILTERS: dict[str, Filter] = {
    "nearest": "nearest",
    "nearest-exact": "nearest",
    "box": "box",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "lanczos": "lanczos",
}
_TO_TENSOR = ("ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor", "ToImage")
_NOTHING = ("Identity", "ToPureTensor", "ToPILImage")


def steps_of(transform: Any) -> Steps:
    """What a transform comes to, in the order of its steps.

    Raises:
        CannotExpress: A step is random, or code of its maker's own; it is named.
    """
    steps, is_tensor = Steps(), False
    for step in _flat(transform):
        kind = type(step).__name__
        if kind in _TO_TENSOR:
            is_tensor = True
            steps = replace(steps, scale=1 / 255) if kind in _TO_TENSOR[:2] else steps
        elif kind == "Resize":
            steps = _resized(steps, step, is_tensor)
        elif (reader := _READERS.get(kind)) is not None:
            steps = reader(steps, step)
        elif kind not in _NOTHING:
            raise CannotExpress(_refusal(kind))
    return steps


def _flat(transform: Any) -> Iterable[Any]:
    """The steps inside Compose, Sequential and lists."""
    parts = transform if isinstance(transform, list | tuple) else None
    if type(transform).__name__ == "Compose":
        parts = transform.transforms
    elif type(transform).__name__ == "Sequential":
        parts = transform.children()
    if parts is None:
        yield transform
        return
    for part in parts:
        yield from _flat(part)


def _refusal(kind: str) -> str:
    if kind.startswith(("Random", "ColorJitter", "AutoAugment", "TrivialAugment", "AugMix")):
        return f"{kind} is of training: give the transform that the network is evaluated with"
    return (
        f"{kind} is no step that a spec can hold: give a transform without it, or write the spec "
        "by hand"
    )


def _resized(steps: Steps, step: Any, is_tensor: bool) -> Steps:
    size, filter_ = _sizes(step.size), _filter(step.interpolation)
    one = len(size) == 1
    resize = Resize("shortest" if one else "exact", (size[0], size[-1]), filter_)
    steps = replace(steps, resize=resize)
    if getattr(step, "max_size", None) is not None:
        steps = steps.but(f"it keeps the longer edge below max_size={step.max_size}")
    if is_tensor:
        return _of_tensor(steps, getattr(step, "antialias", None))
    return steps


def _of_tensor(steps: Steps, antialias: Any) -> Steps:
    if antialias in (True, "warn"):
        return steps.but("it resizes tensors, which differs from Pillow by a level here and there")
    return steps.but("it resizes tensors without antialias; here a reduction is antialiased")


def _sizes(size: Any) -> Sequence[int]:
    if size is None:
        raise CannotExpress("a resize without a size, such as by max_size alone, is no fixed rule")
    return [int(size)] if isinstance(size, int | float) else [int(side) for side in size]


def _filter(interpolation: Any) -> Filter:
    name = str(getattr(interpolation, "value", interpolation)).lower()
    if name not in _FILTERS:
        raise CannotExpress(f"no spec has the filter '{name}'")
    return _FILTERS[name]


def _cropped(steps: Steps, step: Any) -> Steps:
    size = _sizes(step.size)
    return replace(steps, crop=(size[0], size[-1]))


def _scaled(steps: Steps, step: Any) -> Steps:
    return replace(steps, scale=1 / 255)


def _converted(steps: Steps, step: Any) -> Steps:
    return replace(steps, scale=1 / 255) if getattr(step, "scale", False) else steps


def _normalized(steps: Steps, step: Any) -> Steps:
    return replace(steps, mean=white(step.mean), std=white(step.std))


def white(values: Any) -> White:
    """Three numbers out of one or three."""
    numbers = [float(value) for value in values]
    if len(numbers) not in (1, 3):
        raise CannotExpress(f"a mean or std of {len(numbers)} channels; a spec has three")
    return numbers[0], numbers[len(numbers) // 2], numbers[-1]


def _padded(steps: Steps, step: Any) -> Steps:
    return steps.but(f"it pads by {step.padding}, which is left out here")


def _grey(steps: Steps, step: Any) -> Steps:
    return steps.but("it turns colours into grey; here they stay")


def _kept_ratio(steps: Steps, step: Any) -> Steps:
    size: Size = (int(step.size[0]), int(step.size[-1]))
    fit: Any = "longest" if float(step.longest) >= 0.5 else "shortest"
    edge = max(size) if fit == "longest" else min(size)
    return replace(steps, resize=Resize(fit, (edge, edge), _filter(step.interpolation)))


def _cropped_or_padded(steps: Steps, step: Any) -> Steps:
    size: Size = (int(step.size[0]), int(step.size[-1]))
    if steps.resize is not None and steps.resize.fit == "longest":
        fill = step.fill if isinstance(step.fill, int | float) else step.fill[0]
        return replace(steps, pad=size, pad_value=round(fill))
    return replace(steps, crop=size)


def _preset(steps: Steps, step: Any) -> Steps:
    """`weights.transforms()` of classification, and of segmentation, which does not cut."""
    size = _sizes(step.resize_size)
    filter_ = _filter(step.interpolation)
    fit: Any = "shortest" if len(size) == 1 else "exact"
    steps = replace(
        steps,
        resize=Resize(fit, (size[0], size[-1]), filter_),
        scale=1 / 255,
        mean=white(step.mean),
        std=white(step.std),
    )
    if hasattr(step, "crop_size"):
        crop = _sizes(step.crop_size)
        steps = replace(steps, crop=(crop[0], crop[-1]))
    return steps


_READERS: dict[str, Callable[[Steps, Any], Steps]] = {
    "CenterCrop": _cropped,
    "ConvertImageDtype": _scaled,
    "ConvertDtype": _scaled,
    "ToDtype": _converted,
    "Normalize": _normalized,
    "Pad": _padded,
    "Grayscale": _grey,
    "ResizeKeepRatio": _kept_ratio,
    "CenterCropOrPad": _cropped_or_padded,
    "ImageClassification": _preset,
    "SemanticSegmentation": _preset,
}
