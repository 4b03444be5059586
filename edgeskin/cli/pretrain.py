"""`edgeskin pretrain`: unlabelled images become features to start training from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json


def pretrain(
    data: Annotated[
        list[Path], typer.Option(help="Images, as for train; may be given several times.")
    ],
    out: Annotated[Path, typer.Option(help="The run of the features: a folder to make.")],
    arch: Annotated[
        str | None, typer.Option(help="See `edgeskin models`; a recipe may name it.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Settings: a name of `edgeskin models`, or a TOML file.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the train splits.")] = None,
    pretrained: Annotated[bool | None, typer.Option(help="Start from ImageNet weights.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Learn features from images without labels (SimSiam), for `edgeskin train --start`."""
    from edgeskin.errors import InvalidSpec
    from edgeskin.training.pretrain import RECIPE
    from edgeskin.training.pretrain import pretrain as run
    from edgeskin.training.recipe import Recipe, find_recipe

    settings = Recipe.load(
        None if recipe is None else find_recipe(recipe),
        RECIPE,
        arch=arch,
        epochs=epochs,
        pretrained=pretrained,
        seed=seed,
    )
    if not settings.arch:
        raise InvalidSpec("which arch? Pass --arch, or a --recipe that names one")
    with console.progress() as progress:
        record = run(settings.arch, data, out, recipe=settings, force=force, progress=progress)
    if json:
        console.emit(record.to_json())
        return
    print(f"loss {record.losses[-1]:.3f}")
    print(f"spread {record.spread:.2f} (1: projections point everywhere, 0: all are the same)")
    print(out)
