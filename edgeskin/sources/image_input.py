"""Which input is the image, of which size, and where its channels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeskin.errors import InvalidArtifact
from edgeskin.sources.source_model import SourceLayout

_CHANNELS = (3, 1)
"""Colours, or grey."""


@dataclass(frozen=True)
class ImageInput:
    """The fixed shape of an input that is one image."""

    shape: tuple[int, int, int, int]
    layout: SourceLayout

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        _, *rest = self.shape
        return (rest[1], rest[2]) if self.layout == "NCHW" else (rest[0], rest[1])

    @property
    def channels(self) -> int:
        return self.shape[1] if self.layout == "NCHW" else self.shape[3]


def image_input(
    name: str,
    sizes: Sequence[int | str | None],
    input_size: tuple[int, int] | None,
    *,
    where: str,
) -> ImageInput:
    """The shape that an input has for one image.

    Args:
        sizes: As the source says them; what is no positive number is left open.
        input_size: Rows and columns, where the source leaves them open.
        where: Names the source in messages.

    Raises:
        InvalidArtifact: It is no image, or its size is open, or not `input_size`.
    """
    known = [size if isinstance(size, int) and size > 0 else None for size in sizes]
    shown = ", ".join("?" if size is None else str(size) for size in known)
    layout = _layout(known)
    if layout is None:
        raise InvalidArtifact(
            f"{where}: the input '{name}' of ({shown}) is no image: (N, 3, H, W) or (N, H, W, 3) "
            "are taken, or 1 for grey. Export the part of the model that takes the image."
        )
    if known[0] not in (None, 1):
        raise InvalidArtifact(
            f"{where}: the input '{name}' of ({shown}) takes {known[0]} images at once. Export it "
            "for one."
        )
    at = slice(2, 4) if layout == "NCHW" else slice(1, 3)
    own = known[at]
    if None in own and input_size is None:
        raise InvalidArtifact(
            f"{where} takes images of any size, '{name}' is ({shown}), and a phone's file has one. "
            "Say it: --input-size 224x224, for instance."
        )
    if input_size is not None and any(
        stated not in (None, asked) for stated, asked in zip(own, input_size, strict=True)
    ):
        raise InvalidArtifact(
            f"{where} takes images of {own[0]} x {own[1]}, --input-size says {input_size[0]} x "
            f"{input_size[1]}. Leave it out, or export the model for that size."
        )
    asked = input_size or (0, 0)
    height, width = own[0] or asked[0], own[1] or asked[1]
    channels = known[1 if layout == "NCHW" else 3]
    assert channels is not None
    if layout == "NCHW":
        return ImageInput((1, channels, height, width), layout)
    return ImageInput((1, height, width, channels), layout)


def _layout(sizes: Sequence[int | None]) -> SourceLayout | None:
    if len(sizes) != 4:
        return None
    if sizes[1] in _CHANNELS:
        return "NCHW"
    return "NHWC" if sizes[3] in _CHANNELS else None
