"""Two networks whose answers follow from the colours of an image, so that theory tells them.

The first stage calls red pixels skin, blue ones lesion and dark ones other; the last stage says
how red, green and blue its picture is on average.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from samples import acne_spec
from torch import Tensor, nn

from edgeskin.pipelines.pipeline_spec import Rules
from edgeskin.spec import ClassificationHead, InputSpec, SegmentationHead, Spec

AREAS = ("other", "skin", "lesion")
COLOURS = ("red", "green", "blue")
RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
STEEPNESS, GAIN = 20.0, 4.0
MASK = {
    "name": "red-only",
    "task": "benchmark",
    "stages": ["areas", "colours"],
    "intended_use": "Tests.",
    "join": {
        "kind": "mask",
        "keep": {"labels": ["skin"]},
        "fill": [0, 102, 0],
        "min_share": 0.2,
        "otherwise": "no skin found",
    },
}
CROP = MASK | {
    "name": "blue-crops",
    "join": {
        "kind": "crop",
        "skin": {"labels": ["skin"]},
        "lesion": {"labels": ["lesion"]},
        "side_shares": [0.5],
        "step_share": 0.25,
        "min_skin": 0.8,
        "min_lesion": 0.1,
        "max_overlap": 0.5,
        "most": 4,
        "otherwise": "no usable crop",
    },
}


class Areas(nn.Module):
    """Logits of other, skin, lesion: STEEPNESS times one half, red, blue of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.pixels.weight.zero_()
            self.pixels.weight[1, 0] = self.pixels.weight[2, 2] = STEEPNESS
            self.pixels.bias.copy_(torch.tensor([STEEPNESS / 2, 0.0, 0.0]))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.pixels(x),)


class Colours(nn.Module):
    """Logits of red, green, blue: GAIN times the mean of each channel, 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Conv2d(3, 3, 1, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        with torch.no_grad():
            self.pixels.weight.copy_(GAIN * torch.eye(3)[:, :, None, None])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.pool(self.pixels(x)).flatten(1),)


def rules(kind: str, **changes: object) -> Rules:
    """The rules of a kind of join; `changes` replace fields of the join."""
    fields = MASK if kind == "mask" else CROP
    return Rules.from_fields(fields | {"join": {**fields["join"], **changes}}, where="here")


def make_areas() -> nn.Module:
    return Areas().eval()


def make_colours() -> nn.Module:
    return Colours().eval()


def areas_spec(**changes: object) -> Spec:
    return acne_spec(
        **{
            "name": "areas",
            "task": "skin_lesions",
            "arch": "pipeline_networks:make_areas",
            "input": plain_input(32, 48),
            "heads": (SegmentationHead(name="area", labels=AREAS),),
        }
        | changes
    )


def colours_spec(**changes: object) -> Spec:
    return acne_spec(
        **{
            "name": "colours",
            "task": "benchmark",
            "arch": "pipeline_networks:make_colours",
            "input": plain_input(40, 40),
            "heads": (ClassificationHead(name="colour", labels=COLOURS),),
        }
        | changes
    )


def plain_input(height: int, width: int) -> InputSpec:
    return InputSpec(height=height, width=width, resize="squash", mean=(0, 0, 0), std=(1, 1, 1))


def softmax_of(means: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the last stage gives for a picture of these mean colours, 0 to 1."""
    powers = np.exp(GAIN * np.asarray(means, np.float64))
    return powers / powers.sum()


def painted(height: int, width: int, *patches: tuple[slice, slice, tuple[int, int, int]]):
    """A black image with rectangles of colour."""
    image = np.zeros((height, width, 3), np.uint8)
    for rows, columns, colour in patches:
        image[rows, columns] = colour
    return image


def half_red(height: int = 64, width: int = 96, share: float = 0.5) -> NDArray[np.uint8]:
    """Red from the left edge on, black to the right of it."""
    return painted(height, width, (slice(None), slice(round(width * share)), RED))


def write_halves(folder: Path, counts: dict[str, int]) -> Path:
    """A data folder of `half_red` images with another green each; every fourth is all black."""
    (folder / "images").mkdir(parents=True)
    lines = ["file,split,colour,person,license"]
    for split, i in ((s, i) for s, n in counts.items() for i in range(n)):
        image = half_red(share=(2 + i % 5) / 8) if i % 4 else painted(64, 96)
        image[..., 1] = (7 * i + 60 * (split == "test")) % 100  # so that no two are the same
        name = f"images/{split}{i}.png"
        Image.fromarray(image).save(folder / name)
        lines.append(f"{name},{split},{COLOURS[i % 2]},p{i},CC0-1.0")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def best_squares(
    skin: NDArray[np.bool_], lesion: NDArray[np.bool_], side: int, step: int, rule: dict[str, float]
) -> list[tuple[int, int]]:
    """(left, top) of the crop rule's squares by trying every one of them: no native core."""
    height, width = skin.shape
    rows, columns = ([*range(0, n - side, step), n - side] for n in (height, width))
    found = []
    for top, left in product(rows, columns):
        window = np.s_[top : top + side, left : left + side]
        enough = (skin | lesion)[window].sum() > rule["min_skin"] * side**2
        if enough and (ill := int(lesion[window].sum())) > rule["min_lesion"] * side**2:
            found.append((-ill, top, left))
    kept: list[tuple[int, int]] = []
    for _, top, left in sorted(found):
        shared = [
            max(0, side - abs(left - x)) * max(0, side - abs(top - y)) / side**2 for x, y in kept
        ]
        if all(share <= rule["max_overlap"] for share in shared):
            kept.append((left, top))
    return kept[: int(rule["most"])]
