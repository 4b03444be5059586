"""The steps of an albumentations pipeline from its dictionary, without the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from edgeskin.errors import CannotExpress
from edgeskin.sources.torchvision_steps import white
from edgeskin.sources.transform_steps import Filter, Resize, Steps

Fields = Mapping[str, Any]
_FILTERS: dict[int, Filter] = {
    0: "nearest", 1: "bilinear", 2: "bicubic", 3: "box", 4: "lanczos", 6: "nearest",
}  # fmt: skip
"""By OpenCV's numbers."""
_NAMES = {0: "nearest", 1: "linear", 2: "cubic", 3: "area", 4: "Lanczos", 6: "nearest"}
_NOTHING = ("ToTensorV2", "NoOp")


def steps_of(document: Fields) -> Steps:
    """What `A.to_dict(pipeline)`, or the `transform` in it, comes to.

    Raises:
        CannotExpress: A step is random, or none that a spec can hold; it is named.
    """
    steps = Steps()
    for fields in _flat(document.get("transform", document)):
        kind = _kind(fields)
        reader = _READERS.get(kind)
        if kind in _NOTHING:
            continue
        if reader is None or float(fields.get("p", 1.0)) < 1.0:
            raise CannotExpress(
                f"{kind} is of training, or no step that a spec can hold: give the pipeline that "
                "the network is evaluated with"
            )
        steps = reader(steps, fields)
    return steps


def _kind(fields: Fields) -> str:
    return str(fields.get("__class_fullname__", "")).rpartition(".")[2]


def _flat(fields: Fields) -> Iterator[Fields]:
    if _kind(fields) in ("Compose", "Sequential"):
        for part in fields.get("transforms", ()):
            yield from _flat(part)
    else:
        yield fields


def _filter(fields: Fields) -> tuple[Filter, str]:
    code = int(fields.get("interpolation", 1))
    if code not in _FILTERS:
        raise CannotExpress(f"no spec has OpenCV's interpolation {code}")
    return _FILTERS[code], f"it resizes by OpenCV's {_NAMES[code]}, which is not Pillow's filter"


def _resized(fit: Any, *sides: str) -> Callable[[Steps, Fields], Steps]:
    def read(steps: Steps, fields: Fields) -> Steps:
        values = [fields.get(side) for side in sides]
        if not all(isinstance(value, int) for value in values):
            raise CannotExpress(f"{_kind(fields)} has no single size: {values}")
        filter_, line = _filter(fields)
        size = int(fields[sides[0]]), int(fields[sides[-1]])
        return replace(steps, resize=Resize(fit, size, filter_)).but(line)

    return read


def _cropped(steps: Steps, fields: Fields) -> Steps:
    return replace(steps, crop=(int(fields["height"]), int(fields["width"])))


def _padded(steps: Steps, fields: Fields) -> Steps:
    if fields.get("min_height") is None or fields.get("min_width") is None:
        raise CannotExpress("PadIfNeeded to a divisor gives every image its own size")
    fill = fields.get("fill", fields.get("value")) or 0.0
    levels = [round(float(v)) for v in (fill if isinstance(fill, list | tuple) else [fill])]
    size = int(fields["min_height"]), int(fields["min_width"])
    steps = replace(steps, pad=size, pad_value=levels[0])
    if len(set(levels)) > 1:
        steps = steps.but(f"it pads with the colour {levels}; here with {levels[0]} in each")
    if fields.get("border_mode", 4) != 0:
        steps = steps.but("it pads with what is at the image's edge; here with one level")
    if fields.get("position", "center") != "center":
        steps = steps.but(f"it puts the image {fields['position']}; here in the middle")
    return steps


def _normalized(steps: Steps, fields: Fields) -> Steps:
    if (kind := fields.get("normalization", "standard")) != "standard":
        raise CannotExpress(
            f"Normalize by '{kind}' takes mean and std of each image: no fixed rule"
        )
    largest = float(fields.get("max_pixel_value", 255.0))
    mean, std = white(fields["mean"]), white(fields["std"])
    return replace(steps, scale=1 / largest, mean=mean, std=std)


def _to_float(steps: Steps, fields: Fields) -> Steps:
    return replace(steps, scale=1 / float(fields.get("max_value") or 255.0))


_READERS: dict[str, Callable[[Steps, Fields], Steps]] = {
    "Resize": _resized("exact", "height", "width"),
    "SmallestMaxSize": _resized("shortest", "max_size"),
    "LongestMaxSize": _resized("longest", "max_size"),
    "CenterCrop": _cropped,
    "PadIfNeeded": _padded,
    "Normalize": _normalized,
    "ToFloat": _to_float,
}
