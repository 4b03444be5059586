"""`edgeskin import`: somebody else's model becomes a run."""

from __future__ import annotations

from math import isinf
from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json, MaybeData, Trust, takes_data
from edgeskin.cli.spec_options import Answers, InputSize, ask_normalization, size, takes_answers


@takes_answers
@takes_data
def import_(
    out: Annotated[Path, typer.Option(help="The run: a folder to make (quantized: a .pt2 file).")],
    answers: Answers,
    source: Annotated[
        str | None,
        typer.Argument(
            help="ONNX, .pt2, TorchScript or Keras file, SavedModel folder, or a name as --model."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="timm:NAME, torchvision:NAME or package.module:factory."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Of --model: .safetensors, or .pth of tensors.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="spec.json; else it is read from the model and asked for.")
    ] = None,
    model_args: Annotated[str, typer.Option(help="Arguments of the factory, as JSON.")] = "{}",
    data: MaybeData = None,
    input_size: InputSize = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Bring your own model, and check the run against it on its own runtime.

    That is done on a few images of --data, without it on phantoms.
    """
    from edgeskin.errors import InvalidRun
    from edgeskin.sources.importing import import_run

    given = source or model
    if given is None or (source and model):
        raise InvalidRun("give one model to import: a file or folder, or --model NAME")
    with console.progress() as progress:
        report = import_run(
            given,
            spec,
            out,
            weights=weights,
            model_args=model_args,
            answers=answers,
            input_size=size(input_size),
            data=data,
            ask=ask_normalization(json),
            force=force,
            trust=trust,
            progress=progress,
        )
    if json:
        console.emit(report.to_json())
        return
    for line in report.guessed:
        console.say(line)
    if report.runtime is not None and report.sqnr_db is not None:
        console.say(
            f"agrees with the source on {report.runtime} {_far(report.sqnr_db)} "
            f"({report.images} images of {report.of})"
        )
    print(out)


def _far(sqnr_db: float) -> str:
    return "to the bit" if isinf(sqnr_db) else f"to {sqnr_db:.1f} dB"
