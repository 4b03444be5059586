"""Masks as the truth of a segmentation head: read, checked, and laid over the model's input.

A softmax head's truth is the index of a label per pixel, a sigmoid head's 0 or 1 per label and
pixel; -1 is a pixel that nobody annotated. Levels of a mask file are read so:

- 0 and 255 (or 0 and 1) alone: not and foreground, for a head with one label, or two of softmax;
- a softmax head: the index of the label, 255 being not annotated;
- a sigmoid head: 0 is no label, k is label k - 1, 255 not annotated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeskin import native
from edgeskin.data.listing import DrawnMask
from edgeskin.errors import InvalidData
from edgeskin.masks import resized
from edgeskin.spec import InputSpec, SegmentationHead

UNKNOWN = -1
_VOID, _OUTSIDE = 255, 254  # not annotated, and around a letterboxed image
Plane = NDArray[np.uint8]


def one_level_a_label(head: SegmentationHead, drawn: DrawnMask, name: str) -> Plane:
    """A mask of categories as a file would have it: levels (H, W).

    A head with one foreground label takes every category; else labels and categories meet by
    name. Where a softmax head has a label that is no category, that is the background.

    Raises:
        InvalidData: A category of the image is no label.
    """
    labels = list(head.labels)
    softmax = head.activation == "softmax"
    alone = len(labels) - softmax == 1 and not set(labels) & set(drawn.categories)
    known = set(drawn.categories)
    rest = next((i for i, label in enumerate(labels) if label not in known), _VOID)
    levels = np.full((drawn.height, drawn.width), rest if softmax else 0, np.uint8)
    if alone:
        levels[:] = 0
    for category, plane in drawn.draw().items():
        if alone:
            level = 1
        elif category in labels:
            level = labels.index(category) + (not softmax)
        else:
            raise InvalidData(
                f"{name} has the category '{category}', which is no label of {head.name} "
                f"({', '.join(labels)})"
            )
        levels[plane] = level
    return levels


def truth_of(
    head: SegmentationHead, masks: Iterable[Plane], names: Sequence[str]
) -> NDArray[np.int16]:
    """Levels of all masks, of the input's size, as the head's truth.

    Returns:
        int16 (N, H, W) for softmax, (N, H, W, labels) for sigmoid.

    Raises:
        InvalidData: A level that is no label, with the name of its image.
    """
    stack = np.stack(list(masks))
    softmax, count = head.activation == "softmax", len(head.labels)
    present = set(np.unique(stack).tolist()) - {_OUTSIDE}
    levels = stack.astype(np.int16)
    if present <= {0, _VOID} and count - softmax == 1:
        levels[stack == _VOID] = 1
    else:
        levels[stack == _VOID] = UNKNOWN
    levels[stack == _OUTSIDE] = UNKNOWN
    highest = count - 1 if softmax else count
    if (wrong := levels > highest).any():
        image = int(np.argmax(wrong.any(axis=(1, 2))))
        raise InvalidData(
            f"the mask of {names[image]} has the level {int(levels[image].max())}; {head.name} has "
            f"levels 0 to {highest} ({', '.join(head.labels)}), or 0 and 255 for one foreground"
        )
    if softmax:
        return levels
    planes = levels[..., None] == np.arange(1, count + 1)
    return np.where(levels[..., None] == UNKNOWN, UNKNOWN, planes).astype(np.int16)


def over_the_input(levels: Plane, size: tuple[int, int], name: str, spec: InputSpec) -> Plane:
    """A mask cut and resized as its image is, by the nearest level; (spec.height, spec.width).

    What a letterbox adds around the image is not annotated.

    Args:
        size: (height, width) of the image, upright.

    Raises:
        InvalidData: The mask is of another shape than the image.
    """
    _check_shape(levels, size, name)
    if (levels == _OUTSIDE).any():
        raise InvalidData(f"the mask of {name} has the level {_OUTSIDE}, which is no label's")
    recipe = native.Recipe.from_spec(spec, filter="nearest", pad_value=_OUTSIDE, channels="grey")
    image = native.Image((np.ascontiguousarray(levels),), "grey")
    return native.preprocess(image, recipe).reshape(spec.height, spec.width)


def over_the_image(levels: Plane, size: tuple[int, int], name: str) -> Plane:
    """A mask at the size of its image, by the nearest level; (height, width).

    Args:
        size: (height, width) of the image, upright.

    Raises:
        InvalidData: The mask is of another shape than the image.
    """
    _check_shape(levels, size, name)
    return resized(levels[None], *size)[0]


def _check_shape(levels: Plane, size: tuple[int, int], name: str) -> None:
    height, width = levels.shape
    if abs(height * size[1] - width * size[0]) > max(height, width, *size):  # more than a pixel
        raise InvalidData(
            f"the mask of {name} is {width} x {height}, the image {size[1]} x {size[0]} pixels: "
            "one of them is cut or turned"
        )
