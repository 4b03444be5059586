"""A spec from a model: what it says, what a person adds, what is guessed, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from edgeskin.errors import InvalidSpec
from edgeskin.sources.guess_heads import GuessedHead
from edgeskin.sources.image_input import ImageInput
from edgeskin.sources.preprocessing import Preprocessing
from edgeskin.sources.source_model import Hints
from edgeskin.sources.spec_answers import NORMALIZATIONS, Resize, SpecAnswers
from edgeskin.spec import InputSpec, SegmentationHead, Spec

_CROP = 0.875
"""The share of the shorter edge that a centre crop keeps: 224 of 256 pixels, by custom."""


@dataclass(frozen=True)
class GuessedSpec:
    """A spec, and in lines for a person what in it was guessed."""

    spec: Spec
    said: tuple[str, ...]


def guess_spec(
    name: str,
    image: ImageInput,
    heads: Sequence[GuessedHead],
    hints: Hints,
    answers: SpecAnswers,
    preprocessing: Preprocessing | None = None,
) -> GuessedSpec:
    """Fill in a spec.

    Args:
        preprocessing: What `answers.preprocessing` was read as.

    Raises:
        InvalidSpec: Nobody says how pixels are normalised; the line names the option.
    """
    answers.check()
    said = [*hints.notes]
    if preprocessing is not None:
        taken = _given(image, preprocessing.input)
        said += [f"input: {_resize_words(taken)}, as given", *preprocessing.lines]
    else:
        taken, line = _input(image, heads, hints, answers)
        said.append(line)
    said += [guess.said for guess in heads]
    if answers.license is None:
        said.append("license: not stated (--license)")
    spec = Spec(
        name=_plain(answers.name or name),
        task=answers.task or "imported",
        input=taken,
        heads=tuple(guess.head for guess in heads),
        license=answers.license or "not stated",
        intended_use=answers.intended_use or "Research use. Not stated by whoever trained it.",
    )
    return GuessedSpec(spec, tuple(said))


def needs_normalization(hints: Hints, answers: SpecAnswers) -> bool:
    """Whether a person must be asked what becomes of pixel values."""
    given = (answers.preprocessing, answers.normalization, hints.mean)
    return all(answer is None for answer in given)


def looked_at(example: Tensor, answers: SpecAnswers) -> SpecAnswers:
    """The answers, with the normalization that the values of an example look like.

    An example of one value, and one whose values fit no normalization, tell nothing.
    """
    low, high = float(example.min()), float(example.max())
    if answers.preprocessing is not None or answers.normalization is not None or low == high:
        return answers
    fitting = [name for name, (least, most) in _SPANS.items() if least <= low and high <= most]
    return replace(answers, normalization=fitting[0]) if fitting else answers


_SPANS = {
    "zero-to-one": (0.0, 1.0),
    "minus-one-to-one": (-1.0, 1.0),
    "bytes": (0.0, 255.0),
    "imagenet": (-2.12, 2.65),  # of black and of white
}


def _input(
    image: ImageInput, heads: Sequence[GuessedHead], hints: Hints, answers: SpecAnswers
) -> tuple[InputSpec, str]:
    height, width = image.size
    if needs_normalization(hints, answers):
        raise InvalidSpec(
            "the model does not say what becomes of pixel values. Say it with --normalization "
            f"{', '.join(NORMALIZATIONS)}, or --preprocess FILE"
        )
    if answers.normalization is not None:
        chosen = NORMALIZATIONS[answers.normalization]
        mean, std, source = chosen.mean, chosen.std, chosen.meaning
    else:
        assert hints.mean is not None
        mean, std, source = hints.mean, hints.std or (1.0,) * 3, "as the model says"
    resize, guessed = answers.resize, "as asked"
    if resize is None:
        resize, guessed = _resize(heads), "guessed (--resize)"
    taken = InputSpec(
        height=height,
        width=width,
        resize=resize,
        resize_to=round(max(height, width) / _CROP) if resize == "shortest_edge" else None,
        mean=mean,
        std=std,
    )
    return taken, f"input: {height} x {width}, {_resize_words(taken)}, {guessed}; pixels: {source}"


def _given(image: ImageInput, own: InputSpec) -> InputSpec:
    height, width = image.size
    if (own.height, own.width) != (height, width):
        raise InvalidSpec(
            f"the preprocessing gives {own.height} x {own.width} pixels, the model takes "
            f"{height} x {width}. Give the one that it was trained with."
        )
    return own


def _resize(heads: Sequence[GuessedHead]) -> Resize:
    """A mask shall cover the whole image; a class is read from its middle."""
    maps = any(isinstance(guess.head, SegmentationHead) for guess in heads)
    return "squash" if maps else "shortest_edge"


def _resize_words(taken: InputSpec) -> str:
    if taken.resize == "shortest_edge":
        return f"shorter edge to {taken.resize_to}, cut from the centre"
    return f"{taken.resize} ({taken.filter})"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-_.") or "model"
