"""`edgeskin export`: results for Perfetto, Model Explorer and readers of Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json


def export(
    results: Annotated[
        list[Path], typer.Argument(help="Results (.json) of edgeskin bench, and folders of them.")
    ],
    perfetto: Annotated[
        Path | None,
        typer.Option(help="Trace to write, of samples and sensors: for ui.perfetto.dev."),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option(help="Folder for results.parquet and samples.parquet, a row each."),
    ] = None,
    model_explorer: Annotated[
        Path | None,
        typer.Option(help="Folder for node data of Model Explorer: latency, placement, SQNR."),
    ] = None,
    artifact: Annotated[
        list[Path] | None,
        typer.Option(help="With --model-explorer: the measured file, or its folder; repeated."),
    ] = None,
    layers: Annotated[
        list[Path] | None,
        typer.Option(help="With --model-explorer: what verify --layers --json printed; repeated."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write results in the files of other tools: Perfetto, Model Explorer, Parquet."""
    from edgeskin.benchmarks.report.viewers.exporting import export as write

    with console.progress() as progress:
        written = write(
            results,
            perfetto=perfetto,
            parquet=parquet,
            model_explorer=model_explorer,
            artifacts=artifact or (),
            layers=layers or (),
            force=force,
            progress=progress,
        )
    if json:
        console.emit({"written": [str(path) for path in written]})
        return
    for path in written:
        print(path)
