"""The spec of a source: what a person gives, what its library states, and what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.data.manifest import EVERY, ImageData, load_split
from edgeskin.data.phantoms import render_phantom
from edgeskin.errors import ShapeMismatch
from edgeskin.sources.by_name import NamedNetwork
from edgeskin.sources.found import Found
from edgeskin.sources.guess_heads import guess_heads
from edgeskin.sources.guess_spec import GuessedSpec, guess_spec, needs_normalization
from edgeskin.sources.preprocessing import Preprocessing, input_spec_of, read_preprocessing
from edgeskin.sources.spec_answers import SpecAnswers
from edgeskin.spec import Spec

Ask = Callable[[], str]
"""Asks a person for a name of `NORMALIZATIONS`."""
CHECKED = 4
"""Images that an import is compared on."""


def settle_spec(
    found: Found,
    spec: Spec | None,
    answers: SpecAnswers,
    ask: Ask | None = None,
    *,
    data: ImageData | Path | str | None = None,
    trust: bool = False,
) -> GuessedSpec:
    """The spec that a person gives, or one that is guessed.

    Args:
        data: Images to measure a preprocessing on that a spec cannot express exactly.

    Raises:
        InvalidSpec, ShapeMismatch: As `guess_spec` and `guess_heads`.
    """
    if spec is not None:
        height, width = found.image.size
        if (spec.input.height, spec.input.width) != (height, width):
            raise ShapeMismatch(
                f"the spec says images of {spec.input.height} x {spec.input.width}, "
                f"{found.model.name} takes {height} x {width}"
            )
        return GuessedSpec(spec.model_copy(update={"arch": "", "arch_args": {}}), ())
    if needs_normalization(found.model.hints, answers) and ask is not None:
        answers = replace(answers, normalization=ask())
    heads = guess_heads(found.outputs, found.layout, answers, found.model.hints.labels)
    read = None
    if answers.preprocessing is not None:
        height, width = found.image.size
        read = _preprocessing(
            answers.preprocessing, trust=trust, height=height, width=width, images=photos(data)
        )
    return guess_spec(found.model.name, found.image, heads, found.model.hints, answers, read)


def stated_size(
    by: Spec | NamedNetwork | None, answers: SpecAnswers, *, trust: bool
) -> tuple[int, int] | None:
    """Rows and columns of the images, where a spec, a preprocessing or a library says them."""
    if isinstance(by, Spec):
        return by.input.height, by.input.width
    given = answers.preprocessing
    if given is None and by is not None:
        given = by.preprocessing
    if given is None:
        return None
    taken = _preprocessing(given, trust=trust).input
    return taken.height, taken.width


def with_library(named: NamedNetwork, answers: SpecAnswers) -> SpecAnswers:
    """The answers, with what the library of a network states where a person says nothing."""
    said = answers.preprocessing is not None or answers.normalization is not None
    return answers if said else replace(answers, preprocessing=named.preprocessing)


def _preprocessing(given: Any, *, trust: bool, **options: Any) -> Preprocessing:
    if isinstance(given, str):
        return read_preprocessing(given, trust=trust, **options)
    return input_spec_of(given, **options)


def photos(data: ImageData | Path | str | None) -> list[NDArray[np.uint8]]:
    """A few images as they lie on disk, RGB uint8 (H, W, 3); phantoms without any."""
    if data is None:
        return [render_phantom(seed, size=256).image for seed in range(CHECKED)]
    return [image.decode() for image in load_split(data, EVERY).take(CHECKED).images]
