"""The apparent skin tone of photos: the class of the typology angle of their skin pixels.

Apparent, for the angle of a photo is of the skin, the light and the camera: the same cheek in
warm light, in shade or behind another white balance falls into another class. It sorts the photos
of one source well enough to ask whether a model loses more on dark ones; it says nothing of
people, and not much across sources (`skin_tone` has the formula and its classes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.dataset import Dataset
from edgeskin.data.listing import FILE
from edgeskin.data.segmentation_truth import over_the_image
from edgeskin.data.skin_tone import ita_deg, tone
from edgeskin.errors import InvalidData, UnknownName
from edgeskin.masks import resized
from edgeskin.postprocess import decisions
from edgeskin.predictor import Predictor, load
from edgeskin.preprocess import preprocess
from edgeskin.progress import Progress, silent
from edgeskin.spec import SegmentationHead, Spec
from edgeskin.subgroups import NO_COLOUR, NO_SKIN

SKIN = "skin"
LEAST_SKIN = 0.01
"""Of an image's pixels: fewer are a mistake of the segmentation rather than a face."""
COLOURLESS_LEVELS = 2
"""Between red, green and blue, at most, of an image without colour: a grey one, after JPEG."""
MOST_PIXELS = 250_000
"""An image with more is measured on every second pixel of every second row, or every third..."""

Photo = NDArray[np.uint8]
Find = Callable[[int], tuple[Photo, NDArray[np.bool_]]]


@dataclass(frozen=True)
class Skin:
    """Which pixels are skin: those that `model` calls so, or those of the masks of `column`."""

    model: Path | str | None = None
    column: str | None = None
    trust: bool = False

    @property
    def known(self) -> bool:
        return self.model is not None or self.column is not None

    @property
    def rule(self) -> str:
        where = f"masks of column {self.column}"
        if self.model is not None:
            where = f"pixels that {Path(self.model).name} calls {SKIN}"
        return (
            f"apparent skin tone: class of the ITA of the median colour of the {where}; it "
            "depends on light and camera"
        )

    def check(self, data: Dataset) -> None:
        """Check, before any image is read, that there is something to find skin by.

        Raises:
            InvalidData: There is not.
        """
        if not self.known:
            raise InvalidData(
                "skin_tone is measured on skin, and nothing says which pixels are: give "
                "--skin-model (a run or file that segments skin) or --skin-mask (a column of masks)"
            )
        if self.column is not None and self.column not in data.rows[0]:
            raise InvalidData(
                f"{data.where} has no column '{self.column}' of skin masks; it has "
                f"{', '.join(data.rows[0])}"
            )


def tones(data: Dataset, skin: Skin, progress: Progress = silent) -> list[str]:
    """Each image's tone: a name of `TONE_NAMES`, or `NO_SKIN`, or `NO_COLOUR`.

    Raises:
        InvalidData: A mask is missing, or of another shape than its image.
        UnknownName: The model has no head with a label "skin".
        InvalidImage: An image or mask cannot be read.
    """
    found = []
    with _finder(data, skin) as find:
        for index in range(len(data)):
            found.append(apparent_tone(*find(index)))
            progress("measuring skin tones", index + 1, len(data))
    return found


def apparent_tone(image: Photo, inside: NDArray[np.bool_]) -> str:
    """The tone of the pixels of an image, uint8 (H, W, 3), where `inside`, bool (H, W), is True."""
    if np.mean(inside) < LEAST_SKIN:
        return NO_SKIN
    if np.ptp(image, axis=-1).max() <= COLOURLESS_LEVELS:
        return NO_COLOUR
    step = math.ceil(math.sqrt(inside.size / MOST_PIXELS))
    return tone(ita_deg(image[::step, ::step], ~inside[::step, ::step]))


@contextmanager
def _finder(data: Dataset, skin: Skin) -> Iterator[Find]:
    """Gives an image by its index, and where its skin is."""
    if skin.model is None:
        assert skin.column is not None
        column = skin.column
        yield lambda index: _by_mask(data, column, index)
        return
    with load(skin.model, trust=skin.trust) as model:
        head = _head(model.spec, skin.model)
        yield lambda index: _by_model(model, head, data.images[index].decode())


def _by_mask(data: Dataset, column: str, index: int) -> tuple[Photo, NDArray[np.bool_]]:
    """The image as it is, under its mask."""
    image, levels = data.images[index].decode(), data.levels(index, column)
    return image, over_the_image(levels, image.shape[:2], data.rows[index][FILE]) > 0


def _by_model(
    model: Predictor, head: SegmentationHead, image: Photo
) -> tuple[Photo, NDArray[np.bool_]]:
    """The image as the skin model sees it, at its size, under what it calls skin."""
    pixels = preprocess(image, model.spec.input)
    decided = decisions(model.spec, model.run(pixels))[head.name][0]
    index = head.labels.index(SKIN)
    inside = decided[..., index] == 1 if head.activation == "sigmoid" else decided == index
    return pixels, resized(inside[None], *pixels.shape[:2])[0]


def _head(spec: Spec, model: Path | str) -> SegmentationHead:
    for head in spec.heads:
        if isinstance(head, SegmentationHead) and SKIN in head.labels:
            return head
    heads = ", ".join(f"{head.name} ({head.kind})" for head in spec.heads)
    raise UnknownName(
        f"{model} segments no '{SKIN}': its heads are {heads}. --skin-model takes a run or file "
        f"with a segmentation head that has a label '{SKIN}'"
    )
