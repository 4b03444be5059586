"""A training's preprocessing as steps, and the rule of a spec that comes nearest to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from edgeskin.errors import CannotExpress
from edgeskin.spec import InputSpec

Size = tuple[int, int]
Filter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
Fit = Literal["shortest", "exact", "longest"]
White = tuple[float, float, float]

OF_PILLOW: dict[int, Filter] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}


@dataclass(frozen=True)
class Resize:
    """A resize: `shortest` or `longest` edge to `size[0]`, or `exact` to (height, width)."""

    fit: Fit
    size: Size
    filter: Filter


@dataclass(frozen=True)
class Steps:
    """What the steps of a transform come to.

    Attributes:
        crop: (height, width) cut from the centre.
        pad: (height, width) filled up to, around the image, with `pad_value`.
        scale: Multiplies pixel values of 0 to 255, before `mean` and `std` and by itself.
        differences: What a spec does not say, a line each.
    """

    resize: Resize | None = None
    crop: Size | None = None
    pad: Size | None = None
    pad_value: int = 0
    scale: float = 1.0
    mean: White = (0.0, 0.0, 0.0)
    std: White = (1.0, 1.0, 1.0)
    color_order: Literal["RGB", "BGR"] = "RGB"
    differences: tuple[str, ...] = field(default=())

    def but(self, line: str) -> Steps:
        """The same with one more difference."""
        return replace(self, differences=(*self.differences, line))


def nearest_rule(steps: Steps, height: int | None, width: int | None) -> tuple[InputSpec, Steps]:
    """The spec's input that comes nearest, and the steps with all that it leaves out.

    Args:
        height, width: Of the network's input, where the steps leave that to the image.

    Raises:
        CannotExpress: The size of the input is nowhere said.
    """
    asked = None if height is None or width is None else (height, width)
    size, steps = _size(steps, asked)
    resize, resize_to, steps = _fit(steps, size)
    mean = tuple(m / (255.0 * steps.scale) for m in steps.mean)
    std = tuple(s / (255.0 * steps.scale) for s in steps.std)
    spec = InputSpec(
        height=size[0],
        width=size[1],
        color_order=steps.color_order,
        resize=resize,
        resize_to=resize_to,
        filter=steps.resize.filter if steps.resize else "bilinear",
        pad_value=steps.pad_value if resize == "letterbox" else 0,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
    )
    return spec, steps


def _size(steps: Steps, asked: Size | None) -> tuple[Size, Steps]:
    """(height, width) of the input."""
    size = steps.crop or steps.pad
    if size is None and steps.resize is not None and steps.resize.fit == "exact":
        size = steps.resize.size
    if size is None:
        if asked is None and steps.resize is not None:
            asked = steps.resize.size
        if asked is None:
            raise CannotExpress(
                "the transform gives every image its own size: say the height and width of the "
                "network's input"
            )
        steps = steps.but(
            f"it leaves the input as large as the image makes it; here it is {asked[0]} x "
            f"{asked[1]} always"
        )
        return asked, steps
    if asked is not None and asked != size:
        steps = steps.but(
            f"it gives {size[0]} x {size[1]}, the network takes {asked[0]} x {asked[1]}"
        )
        return asked, steps
    return size, steps


def _fit(
    steps: Steps, size: Size
) -> tuple[Literal["shortest_edge", "squash", "letterbox"], int | None, Steps]:
    """The rule of the spec: `resize`, `resize_to`."""
    resize, largest = steps.resize, max(size)
    if resize is None:
        steps = steps.but("it cuts without a resize; here the image is scaled to the crop first")
        return "shortest_edge", largest, steps
    if resize.fit == "longest" or (resize.fit == "shortest" and steps.pad is not None):
        if resize.size[0] != largest or resize.fit == "shortest":
            steps = steps.but(
                f"it scales the {resize.fit.removesuffix('est')}er edge to {resize.size[0]} before "
                f"it pads; here the image is scaled to fit {size[0]} x {size[1]}"
            )
        return "letterbox", None, steps
    if resize.fit == "exact":
        if resize.size == size:
            return "squash", None, steps
        steps = steps.but(
            f"it squashes to {resize.size[0]} x {resize.size[1]} and cuts; here the aspect ratio "
            "is kept, which is the same for square images alone"
        )
        return "shortest_edge", max(largest, min(resize.size)), steps
    steps = steps.but(
        "the longer edge may be a pixel shorter there, and the cut lie a pixel aside: halves and "
        "fractions are rounded otherwise"
    )
    if resize.size[0] < largest:
        steps = steps.but(
            f"it scales the shorter edge to {resize.size[0]} and pads up to the crop; here it is "
            f"scaled to {largest}"
        )
    return "shortest_edge", max(largest, resize.size[0]), steps
