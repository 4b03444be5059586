"""`edgeskin train`: a data folder becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Force, Json, takes_data

if TYPE_CHECKING:
    from edgeskin.figures import Evaluation
    from edgeskin.training.cross_validation import CrossValidation


@takes_data
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run: a folder to make.")],
    task: Annotated[
        str | None, typer.Option(help="See `edgeskin models`; a recipe may name it.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="See `edgeskin models`; a recipe may name it.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Settings: a name of `edgeskin models`, or a TOML file.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split.")] = None,
    pretrained: Annotated[bool | None, typer.Option(help="Start from ImageNet weights.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="A run of the same network whose backbone to start from.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Cross-validate on the train split: this many runs in OUT."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a network; the same command after a kill goes on where it stopped."""
    from edgeskin.training.cross_validation import cross_validate
    from edgeskin.training.train import recipe_for
    from edgeskin.training.train import train as run

    settings = recipe_for(
        recipe, task=task, arch=arch, epochs=epochs, pretrained=pretrained, seed=seed
    )
    if folds is not None:
        with console.progress() as progress:
            print_folds(
                cross_validate(
                    settings, data, out, folds, start=start, force=force, progress=progress
                ),
                json,
            )
        return
    with console.progress() as progress:
        record = run(
            settings.task,
            settings.arch,
            data,
            out,
            recipe=settings,
            start=start,
            force=force,
            progress=progress,
        )
    if json:
        console.emit(record.to_json())
        return
    for split, evaluation in (("val", record.val), ("test", record.test)):
        if evaluation is not None:
            print_evaluation(split, evaluation)
    print(out)


def print_folds(scores: CrossValidation, json: bool) -> None:
    """Every fold's metrics, their mean and standard deviation, and those of all images at once."""
    if json:
        console.emit(scores.to_json())
        return
    rows = [
        (name, *(f"{fold:.4f}" for fold in s.folds), f"{s.mean:.4f}", f"{s.sd:.4f}")
        for name, s in scores.spread.items()
    ]
    numbers = [str(i + 1) for i in range(len(scores.folds))]
    console.table("folds", ("metric", *numbers, "mean", "SD"), rows)
    print_evaluation("each image held out once", scores.pooled)


def print_evaluation(title: str, evaluation: Evaluation) -> None:
    """One line a metric with its 95 % interval, and the per-class tables."""
    rows = [
        (name, f"{m.value:.4f}", f"[{m.low:.4f}, {m.high:.4f}]", m.unit)
        for name, m in evaluation.metrics.items()
    ]
    columns = ("metric", "value", "95 % interval", "unit")
    console.table(f"{title}, {evaluation.images} images", columns, rows)
    for name, m in evaluation.per_class.items():
        table = zip(m.precision, m.SE, m.SP, m.YI, strict=True)
        means = (m.mean_precision, m.mean_SE, m.mean_SP, m.mean_YI)
        body = [
            (label, *(f"{value:.3f}" for value in values))
            for label, values in [*((str(i), row) for i, row in enumerate(table)), ("mean", means)]
        ]
        console.table(f"{name}_per_class", ("class", "precision", "SE", "SP", "YI"), body)
