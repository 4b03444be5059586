"""Rows of a demo's picture for masks: the photo, what float and INT8 say of it, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgeskin.masks import resized
from edgeskin.metrics import dice
from edgeskin.pipelines.pipeline_spec import CropJoin
from edgeskin.spec import SegmentationHead
from edgeskin.walkthrough.shown_answers import Shown

COLOURS = ((0.10, 0.55, 0.95), (0.95, 0.20, 0.15), (0.2, 0.7, 0.3), (0.9, 0.7, 0.1))
"""Of a mask's labels but the first, which is the background."""
FLIPPED = (1.0, 0.0, 0.9)
CROPS = "lesion_crops"
"""The rules of a pipeline that frames are drawn by, where there are lesions on skin."""


def draw_masks(figure: Any, shown: Shown) -> None:
    """Photo, masks by float, by INT8 and drawn; crops that the rule takes; pixels that flipped."""
    head = cast(SegmentationHead, shown.spec.heads[0])
    axes = figure.subplots(4, len(shown.pixels), squeeze=False)
    _label_rows(axes, ("photo", "float", "INT8", "truth"))
    masks = [answer[head.name].argmax(axis=-1) for answer in shown.answers]
    truth = resized(shown.truth, *masks[0].shape[1:])
    for i, (photo, by_float, by_int8, drawn) in enumerate(axes.T):
        pixels, before, after = shown.pixels[i], masks[0][i], masks[1][i]
        for panel in (photo, by_float, by_int8, drawn):
            panel.imshow(pixels)
            panel.set_axis_off()
        for panel, mask in ((by_float, before), (by_int8, after), (drawn, truth[i])):
            _overlay(panel, pixels, mask, head)
        _show(by_int8, pixels, before != after, FLIPPED, 0.9)
        share = f"{100 * (before != after).mean():.2f} % flipped"
        by_float.set_title(_overlap(truth[i], before, head), fontsize=8)
        by_int8.set_title(f"{_overlap(truth[i], after, head)}\n{share}", fontsize=8)


def _overlay(panel: Any, pixels: NDArray[Any], mask: NDArray[Any], head: SegmentationHead) -> None:
    for index, colour in zip(range(1, len(head.labels)), COLOURS, strict=False):
        opacity = 0.5 if index == len(head.labels) - 1 else 0.3
        _show(panel, pixels, mask == index, colour, opacity)
    if "lesion" in head.labels and "skin" in head.labels:
        _crops(panel, pixels, mask, head)


def _show(
    panel: Any,
    pixels: NDArray[Any],
    inside: NDArray[np.bool_],
    colour: tuple[float, float, float],
    opacity: float,
) -> None:
    """Lay a colour over a part of the picture; masks may be coarser than it."""
    height, width = pixels.shape[:2]
    layer = np.zeros((*inside.shape, 4))
    layer[..., :3] = colour
    layer[..., 3] = inside * opacity
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    panel.imshow(layer, extent=extent, interpolation="nearest")


def _crops(panel: Any, pixels: NDArray[Any], mask: NDArray[Any], head: SegmentationHead) -> None:
    """Frames round the crops that the rule takes."""
    from matplotlib.patches import Rectangle

    from edgeskin.pipelines.joins import find_boxes
    from edgeskin.pipelines.pipeline_folder import read_rules

    join = cast(CropJoin, read_rules(CROPS).join)
    skin, lesion = (
        np.isin(mask, [head.labels.index(label) for label in region.labels])
        for region in (join.skin, join.lesion)
    )
    scale = pixels.shape[0] / mask.shape[0]
    for box in find_boxes(join, skin, lesion):
        corner = (box.left * scale - 0.5, box.top * scale - 0.5)
        size = (box.width * scale, box.height * scale)
        panel.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=2.6))
        panel.add_patch(Rectangle(corner, *size, fill=False, edgecolor="black", linewidth=1.1))


def _overlap(truth: NDArray[Any], mask: NDArray[Any], head: SegmentationHead) -> str:
    parts = []
    for index, label in enumerate(head.labels[1:], start=1):
        inside = np.where(truth < 0, -1, truth == index)
        score = dice(inside[None], (mask == index).astype(np.int64)[None])[0]
        parts.append(f"{label} {score:.2f}")
    return "Dice: " + ", ".join(parts)


def _label_rows(axes: NDArray[Any], names: Sequence[str]) -> None:
    """Write what each row of axes shows at its left."""
    for row, name in zip(axes, names, strict=True):
        row[0].text(
            -0.06,
            0.5,
            name,
            rotation=90,
            ha="right",
            va="center",
            fontsize=8.5,
            transform=row[0].transAxes,
        )
