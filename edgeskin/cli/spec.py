"""`edgeskin spec`: the spec of a model, written from the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Trust
from edgeskin.cli.spec_options import Answers, InputSize, ask_normalization, size, takes_answers


@takes_answers
def spec(
    out: Annotated[Path, typer.Argument(help="The spec.json to write.")],
    model: Annotated[
        str, typer.Option("--from", help="A model file or folder, or a name as import takes it.")
    ],
    answers: Answers,
    weights: Annotated[
        Path | None, typer.Option(help="Of a network by name: its state dict.")
    ] = None,
    input_size: InputSize = None,
    force: Force = False,
    trust: Trust = False,
) -> None:
    """Write a spec.json from a model; what it does not say is asked for, or named."""
    from edgeskin.files import atomic
    from edgeskin.sources.importing import spec_of

    guessed = spec_of(
        model,
        weights=weights,
        answers=answers,
        input_size=size(input_size),
        ask=ask_normalization(False),
        trust=trust,
    )
    with atomic(out, force=force) as fresh:
        fresh.write_text(guessed.spec.to_json(indent=2) + "\n", encoding="utf-8")
    for line in guessed.said:
        console.say(line)
    print(out)
