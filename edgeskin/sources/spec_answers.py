"""What a person says of a model where its file does not: the answers a spec is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from edgeskin.errors import InvalidSpec, UnknownName

HeadKind = Literal[
    "classification",
    "multilabel",
    "regression",
    "distribution",
    "segmentation",
    "embedding",
    "tensor",
]
Resize = Literal["shortest_edge", "squash", "letterbox"]
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """What becomes of a pixel value v in 0 to 255: (v / 255 - mean) / std."""

    mean: Channels
    std: Channels
    meaning: str


NORMALIZATIONS = {
    "imagenet": Normalization(
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "ImageNet's mean and deviation, as torchvision's weights",
    ),
    "zero-to-one": Normalization((0.0,) * 3, (1.0,) * 3, "0 to 1, as ToTensor alone gives"),
    "minus-one-to-one": Normalization((0.5,) * 3, (0.5,) * 3, "-1 to 1, as MobileNets of Keras"),
    "bytes": Normalization((0.0,) * 3, (1 / 255,) * 3, "0 to 255 as they are, scaled inside"),
}


@dataclass(frozen=True)
class HeadAnswer:
    """One output: the name and the kind of its head, of a quantity its unit.

    `first` and `step` are of a distribution: the values that its probabilities belong to.
    """

    name: str
    kind: HeadKind | None = None
    unit: str = ""
    first: float = 0.0
    step: float = 1.0


@dataclass(frozen=True)
class SpecAnswers:
    """What to take as given; what is left out is read from the model, or guessed.

    Attributes:
        name: Of the model; the file's stem by default.
        task: What it is for, in a word.
        normalization: A name of `NORMALIZATIONS`.
        preprocessing: How images become its input: a transform, a processor's or timm's config,
            its JSON, or `package.module:name`; see `preprocessing.read_preprocessing`.
        resize: How an image of another size is fitted.
        heads: In the order of the outputs.
        labels: By head; "" is the only head that has some.
        license: What the weights may be used for.
        intended_use: What the model was made for.
    """

    name: str | None = None
    task: str | None = None
    normalization: str | None = None
    preprocessing: Any = None
    resize: Resize | None = None
    heads: tuple[HeadAnswer, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    license: str | None = None
    intended_use: str | None = None

    def check(self) -> None:
        """Refuse words that mean nothing.

        Raises:
            UnknownName: A normalization or a resize that there is not.
        """
        if self.normalization is not None and self.normalization not in NORMALIZATIONS:
            raise UnknownName(
                f"no normalization '{self.normalization}'; there are {', '.join(NORMALIZATIONS)}"
            )
        if self.resize is not None and self.resize not in get_args(Resize):
            raise UnknownName(f"no resize '{self.resize}'; there are {', '.join(get_args(Resize))}")


def parse_head(text: str) -> HeadAnswer:
    """`NAME`, `NAME=KIND`, `NAME=regression:UNIT` or `NAME=distribution:UNIT[:FIRST:STEP]`.

    Raises:
        UnknownName: No such kind, or a first value or a step that is no number.
    """
    name, _, rest = text.partition("=")
    kind, unit, *values = rest.split(":") if ":" in rest else (rest, "")
    if kind and kind not in get_args(HeadKind):
        raise UnknownName(f"no kind of head '{kind}'; there are {', '.join(get_args(HeadKind))}")
    answer = HeadAnswer(name, kind or None, unit)  # type: ignore[arg-type]
    if not values:
        return answer
    try:
        first, step = map(float, values)
        if kind == "distribution" and math.isfinite(first) and 0 < step < math.inf:
            return replace(answer, first=first, step=step)
    except ValueError:
        pass
    raise UnknownName(
        f"--head {text} is not read: a quantity's distribution is NAME=distribution:UNIT, its "
        "values from 0 in steps of 1, or :UNIT:FIRST:STEP, such as age=distribution:years:0:1"
    )


def parse_labels(texts: list[str]) -> dict[str, tuple[str, ...]]:
    """`a,b,c`, a file with a label a line, or `HEAD=` before either.

    Raises:
        InvalidSpec: A file that is no text, or no label at all.
    """
    found = {}
    for text in texts:
        head, _, given = text.rpartition("=")
        found[head] = _labels(given)
        if not found[head]:
            raise InvalidSpec(f"--labels {text} names no label")
    return found


def _labels(text: str) -> tuple[str, ...]:
    path = Path(text)
    if "," in text or not path.is_file():
        return tuple(label.strip() for label in text.split(",") if label.strip())
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"--labels {path} is no text file: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())
