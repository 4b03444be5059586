"""`edgeskin train`: a data folder becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Force, Json


def train(
    task: Annotated[str, typer.Option(help="See `edgeskin models`.")],
    arch: Annotated[str, typer.Option(help="See `edgeskin models`.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The run: a folder to make.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file with training settings.")] = None,
    pretrained: Annotated[bool | None, typer.Option(help="Start from ImageNet weights.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a network; the same command after a kill goes on where it stopped."""
    from edgeskin.tasks import find_task
    from edgeskin.training.recipe import Recipe
    from edgeskin.training.train import train as run

    defaults = find_task(task).load().RECIPE
    settings = Recipe.load(recipe, defaults, epochs=epochs, pretrained=pretrained, seed=seed)
    with console.progress() as tell:
        metrics = run(task, arch, data, out, recipe=settings, force=force, tell=tell)
    if json:
        console.emit(metrics)
        return
    for split in ("val", "test"):
        if split in metrics:
            print_metrics(split, metrics[split])
    print(out)


def print_metrics(title: str, metrics: dict) -> None:  # type: ignore[type-arg]
    """One line a metric with its 95 % interval, and the per-class tables."""
    rows = [
        (name, f"{m['value']:.4f}", f"[{m['low']:.4f}, {m['high']:.4f}]", m["unit"])
        for name, m in metrics.items()
        if isinstance(m, dict) and "value" in m
    ]
    console.table(
        f"{title}, {metrics['images']} images", ("metric", "value", "95 % interval", "unit"), rows
    )
    for name, m in metrics.items():
        if name.endswith("_per_class"):
            columns = ("precision", "SE", "SP", "YI")
            classes = range(len(m["SE"]))
            body = [(str(i), *(f"{m[c][i]:.3f}" for c in columns)) for i in classes]
            body.append(("mean", *(f"{m[f'mean_{c}']:.3f}" for c in columns)))
            console.table(name, ("class", *columns), body)
