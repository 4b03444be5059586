"""`edgeskin spec`: the spec of a model, written from the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Trust
from edgeskin.cli.spec_options import (
    Heads,
    InputSize,
    IntendedUse,
    Labels,
    License,
    Name,
    Pixels,
    Preprocess,
    Resize,
    TaskName,
    ask_normalization,
    size,
    spec_answers,
)


def spec(
    out: Annotated[Path, typer.Argument(help="The spec.json to write.")],
    model: Annotated[
        str, typer.Option("--from", help="A model file or folder, or a name as import takes it.")
    ],
    weights: Annotated[
        Path | None, typer.Option(help="Of a network by name: its state dict.")
    ] = None,
    input_size: InputSize = None,
    normalization: Pixels = None,
    preprocess: Preprocess = None,
    resize: Resize = None,
    head: Heads = None,
    labels: Labels = None,
    name: Name = None,
    task: TaskName = None,
    license: License = None,
    intended_use: IntendedUse = None,
    force: Force = False,
    trust: Trust = False,
) -> None:
    """Write a spec.json from a model; what it does not say is asked for, or named."""
    from edgeskin.files import atomic
    from edgeskin.sources.importing import spec_of

    answers = spec_answers(
        name=name,
        task=task,
        normalization=normalization,
        preprocess=preprocess,
        resize=resize,
        head=head,
        labels=labels,
        license=license,
        intended_use=intended_use,
    )
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
