"""What a person says of a model: options of `spec`, `import` and `convert`, spelled once."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgeskin.cli.options import shown_with

if TYPE_CHECKING:
    from edgeskin.sources.spec_answers import SpecAnswers

InputSize = Annotated[
    str | None, typer.Option(help="HEIGHTxWIDTH of the image, where the model leaves it open.")
]
if TYPE_CHECKING:  # what a command gets; it is made of options
    Answers = SpecAnswers
else:
    Answers = object


def _answer_option(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="What the model does not say")


def size(text: str | None) -> tuple[int, int] | None:
    """`224` or `224x320`, rows first."""
    from edgeskin.errors import UnknownName

    if text is None:
        return None
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not found or int(found[1]) < 1 or int(found[2] or found[1]) < 1:
        raise UnknownName(f"--input-size reads HEIGHTxWIDTH, such as 224x224, not '{text}'")
    return int(found[1]), int(found[2] or found[1])


def _of_answers(
    normalization: Annotated[
        str | None,
        _answer_option("Of pixels: imagenet, zero-to-one, minus-one-to-one, or bytes (0 to 255)."),
    ] = None,
    preprocess: Annotated[
        str | None,
        _answer_option(
            "What it was trained with: JSON of a Hugging Face processor, albumentations or timm, "
            "or package.module:transform."
        ),
    ] = None,
    resize: Annotated[
        str | None, _answer_option("shortest_edge (and cut), squash, or letterbox.")
    ] = None,
    head: Annotated[
        list[str] | None,
        _answer_option(
            "NAME, NAME=KIND, NAME=regression:UNIT or NAME=distribution:UNIT[:FIRST:STEP] for "
            "each output in order. Kinds: classification, multilabel, regression, distribution, "
            "segmentation, embedding, tensor."
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        _answer_option("a,b,c or a file with one a line; HEAD=... of one head among several."),
    ] = None,
    name: Annotated[str | None, _answer_option("Of the model; else the file's.")] = None,
    task: Annotated[str | None, _answer_option("What it is for, in a word.")] = None,
    license: Annotated[str | None, _answer_option("What the weights may be used for.")] = None,
    intended_use: Annotated[str | None, _answer_option("What the model was made for.")] = None,
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


def takes_answers(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options that say of a model what it does not, which become `answers`."""
    own = inspect.signature(command, eval_str=True).parameters
    shared = inspect.signature(_of_answers, eval_str=True, locals={"SpecAnswers": object})

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in shared.parameters}
        command(**arguments, answers=_of_answers(**given))

    kept = [parameter for name, parameter in own.items() if name != "answers"]
    shown_with(with_options, [*kept, *shared.parameters.values()])
    return with_options


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
