"""`edgeskin pack`: a test pack from a data folder, to run on devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.groups import takes_groups
from edgeskin.cli.options import Data, Force, Split, Trust, takes_data

if TYPE_CHECKING:
    from edgeskin.benchmarks.pack import Pack
    from edgeskin.data.grouping import GroupOptions
    from edgeskin.spec import Spec


@takes_data
@takes_groups
def pack(
    run: Annotated[Path, typer.Argument(help="The float model: a run, or a pipeline of runs.")],
    data: Data,
    groups: GroupOptions,
    out: Annotated[Path, typer.Option(help="Folder to write the pack to.")],
    split: Split = "test",
    samples: Annotated[int | None, typer.Option(help="At most so many images.", min=1)] = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Store the images at the model's size (smaller).")
    ] = False,
    shard_mb: Annotated[int, typer.Option(help="Size of a piece, for small devices.", min=1)] = 64,
    force: Force = False,
    trust: Trust = False,
) -> None:
    """Pack images, labels and the float model's outputs, to be run on devices."""
    from edgeskin.verbs import pack as run_pack

    with console.progress() as progress:
        made = run_pack(
            run,
            data,
            out,
            split=split,
            samples=samples,
            ready=ready,
            groups=groups,
            shard_bytes=shard_mb << 20,
            force=force,
            trust=trust,
            progress=progress,
        )
    console.remark(data.split(split).unlabelled(_end_spec(made)))
    console.say(f"{len(made)} images in {len(made.shards)} shards: {out}")


def _end_spec(made: Pack) -> Spec:
    """Whose labels count: a pipeline's last stage's."""
    from edgeskin.benchmarks.pipeline_pack import PipelinePack

    return made.last if isinstance(made, PipelinePack) else made.spec
