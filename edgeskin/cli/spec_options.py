"""What a person says of a model: options of `spec`, `import` and `convert`, spelled once."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from edgeskin.sources.spec_answers import SpecAnswers

InputSize = Annotated[
    str | None, typer.Option(help="HEIGHTxWIDTH of the image, where the model leaves it open.")
]
Pixels = Annotated[
    str | None,
    typer.Option(
        "--normalization",
        help="Of pixels: imagenet, zero-to-one, minus-one-to-one, or bytes (0 to 255).",
    ),
]
Preprocess = Annotated[
    str | None,
    typer.Option(
        help="What it was trained with: JSON of a Hugging Face processor, albumentations or timm, "
        "or package.module:transform."
    ),
]
Resize = Annotated[str | None, typer.Option(help="shortest_edge (and cut), squash, or letterbox.")]
Heads = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME, NAME=KIND, NAME=regression:UNIT or NAME=distribution:UNIT:FIRST:STEP for each "
        "output in order. Kinds: classification, multilabel, regression, distribution, "
        "segmentation, embedding, tensor."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(help="a,b,c or a file with one a line; HEAD=... of one head among several."),
]
Name = Annotated[str | None, typer.Option(help="Of the model. [the file's]")]
TaskName = Annotated[str | None, typer.Option("--task", help="What it is for, in a word.")]
License = Annotated[str | None, typer.Option(help="What the weights may be used for.")]
IntendedUse = Annotated[str | None, typer.Option(help="What the model was made for.")]


def size(text: str | None) -> tuple[int, int] | None:
    """`224` or `224x320`, rows first."""
    from edgeskin.errors import UnknownName

    if text is None:
        return None
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not found or int(found[1]) < 1 or int(found[2] or found[1]) < 1:
        raise UnknownName(f"--input-size reads HEIGHTxWIDTH, such as 224x224, not '{text}'")
    return int(found[1]), int(found[2] or found[1])


def spec_answers(
    *,
    name: str | None = None,
    task: str | None = None,
    normalization: str | None = None,
    preprocess: str | None = None,
    resize: str | None = None,
    head: list[str] | None = None,
    labels: list[str] | None = None,
    license: str | None = None,
    intended_use: str | None = None,
) -> SpecAnswers:
    """The words of the command line as answers.

    Raises:
        UnknownName: A word that means nothing.
        InvalidSpec: Labels or preprocessing that cannot be read.
    """
    from edgeskin.sources.spec_answers import SpecAnswers, parse_head, parse_labels

    answers = SpecAnswers(
        name=name,
        task=task,
        normalization=normalization,
        preprocessing=_text_of(preprocess),
        resize=cast(Any, resize),
        heads=tuple(parse_head(text) for text in head or ()),
        labels=parse_labels(labels or []),
        license=license,
        intended_use=intended_use,
    )
    answers.check()
    return answers


def _text_of(given: str | None) -> str | None:
    """The text of a file, or what names a transform as it is."""
    from edgeskin.errors import InvalidSpec

    if given is None or not Path(given).is_file():
        return given
    try:
        return Path(given).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"--preprocess {given} is no text file: {error}") from error


def ask_normalization(json: bool) -> Callable[[], str] | None:
    """A question for the person at the terminal; None where there is none to ask."""
    if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask() -> str:
        from edgeskin.cli import console
        from edgeskin.sources.spec_answers import NORMALIZATIONS

        console.say("The model does not say what becomes of pixel values before it.")
        for name, normalization in NORMALIZATIONS.items():
            console.say(f"  {name}: {normalization.meaning}")
        while (answer := _answer("normalization: ")) not in NORMALIZATIONS:
            console.say(f"  one of {', '.join(NORMALIZATIONS)}")
        return answer

    return ask


def _answer(prompt: str) -> str:
    """A line from the person; raises InvalidSpec where there is none."""
    from edgeskin.errors import InvalidSpec

    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise InvalidSpec("no answer was given. Say it with --normalization")
    return line.strip()
