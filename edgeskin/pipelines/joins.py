"""From the first stage's masks to the pictures that the last stage gets: the one place for it.

Masks are drawn over the image as it was decoded by `native.segment`, from decoded values, that is
probabilities, whatever a file's outputs are: a softmax does not change which label is largest, so
at the centres of the head's own pixels logits would give the same mask; between them, values are
interpolated, and all files must interpolate the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin import native
from edgeskin.document import Document
from edgeskin.pipelines.fit import find_head
from edgeskin.pipelines.pipeline_spec import ANSWERED, CropJoin, Join, MaskJoin, Region
from edgeskin.postprocess import Outputs
from edgeskin.spec import InputSpec, Spec

Pixels = NDArray[np.uint8]
Inside = NDArray[np.bool_]


class Crop(Document):
    """A square of the image, in its pixels; shares are of the square's pixels.

    `skin_share` counts lesion too.
    """

    left: int
    top: int
    side: int
    skin_share: float
    lesion_share: float


class Seen(Document):
    """What of an image the last stage sees: the share of its pixels, or its squares."""

    kept_share: float | None = None
    crops: tuple[Crop, ...] | None = None


@dataclass(frozen=True)
class Joined:
    """One image as the last stage gets it, before its own resize.

    Attributes:
        status: `ANSWERED`, or why there is nothing to see.
        pictures: RGB, uint8 (H, W, 3); none without an answer.
    """

    status: str
    seen: Seen
    pictures: tuple[Pixels, ...]


def join_image(join: Join, first: Spec, outputs: Outputs, image: Pixels) -> Joined:
    """What the last stage sees of an image.

    Args:
        first: Of the first stage.
        outputs: Its decoded outputs for the image, N = 1.
        image: As decoded, uint8 (H, W, 3).
    """
    if isinstance(join, MaskJoin):
        return _masked(join, inside(join.keep, first, outputs, image), image)
    skin, lesion = (inside(r, first, outputs, image) for r in (join.skin, join.lesion))
    return _cropped(join, skin, lesion, image)


def inside(region: Region, first: Spec, outputs: Outputs, image: Pixels) -> Inside:
    """Which pixels of the image, bool (H, W), belong to a region."""
    head = find_head(region, first)
    mask = class_mask(outputs[head.name][0], first.input, image)
    labels = [head.labels.index(label) for label in region.labels]
    return np.isin(mask, labels)


def class_mask(probabilities: NDArray[np.floating], spec: InputSpec, image: Pixels) -> Pixels:
    """The label of each pixel of the image, uint8 (H, W), `native.OUTSIDE` where none was seen.

    Args:
        probabilities: A softmax segmentation's decoded output, (h, w, labels).
        spec: Of the input that it was computed from.
    """
    placement = native.place(image, native.Recipe.from_spec(spec))
    mask, _ = native.segment(probabilities.astype(np.float32), placement, "nhwc")
    return mask


def fill_outside(image: Pixels, kept: Inside, fill: Iterable[int]) -> Pixels:
    """The image with another colour where it is not kept."""
    return np.where(kept[..., None], image, np.array(tuple(fill), np.uint8))


def _masked(join: MaskJoin, kept: Inside, image: Pixels) -> Joined:
    seen = Seen(kept_share=float(kept.mean()))
    if not kept.any() or kept.mean() < join.min_share:
        return Joined(join.otherwise, seen, ())
    return Joined(ANSWERED, seen, (fill_outside(image, kept, join.fill),))


def _cropped(join: CropJoin, skin: Inside, lesion: Inside, image: Pixels) -> Joined:
    crops = tuple(_crop(box, skin | lesion) for box in find_boxes(join, skin, lesion))
    pictures = tuple(
        np.ascontiguousarray(image[c.top : c.top + c.side, c.left : c.left + c.side]) for c in crops
    )
    return Joined(ANSWERED if crops else join.otherwise, Seen(crops=crops), pictures)


def find_boxes(join: CropJoin, skin: Inside, lesion: Inside) -> list[native.Box]:
    """The squares that the last stage sees, best first; masks are bool (H, W), lesion no skin."""
    for side in _sides(join, min(skin.shape)):
        boxes = native.find_crops(
            skin.astype(np.uint8),
            lesion.astype(np.uint8),
            side,
            max(1, _rounded(side * join.step_share)),
            min_skin=join.min_skin,
            min_lesion=join.min_lesion,
            max_overlap=join.max_overlap,
            capacity=join.most,
        )
        if boxes:
            return boxes
    return []


def _sides(join: CropJoin, shorter: int) -> list[int]:
    """In pixels, those of an image whose shorter edge is `shorter`."""
    sides = [*join.sides, *(_rounded(shorter * share) for share in join.side_shares)]
    return [min(max(1, side), shorter) for side in sides]


def _rounded(x: float) -> int:
    return int(x + 0.5)


def _crop(box: native.Box, skin: Inside) -> Crop:
    square = skin[box.top : box.top + box.height, box.left : box.left + box.width]
    return Crop(
        left=box.left,
        top=box.top,
        side=box.width,
        skin_share=float(square.mean()),
        lesion_share=box.area / square.size,
    )
