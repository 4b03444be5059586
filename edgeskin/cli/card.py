"""`edgeskin card`: the model card of a folder, as a page and for the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json


def card(
    folder: Annotated[
        Path, typer.Argument(help="Folder of files that edgeskin convert wrote, or a pipeline.")
    ],
    model: Annotated[
        str | None, typer.Option(help="Name of the model, where the folder has several.")
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Results of edgeskin bench to add, files or folders; repeated."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Page to write.")] = None,
    hugging_face: Annotated[
        Path | None,
        typer.Option(help="README.md to write, with the metadata of the Hugging Face Hub."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="With --hugging-face: the Hub's name of the training data; repeated."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Print the model card in Markdown, or write it as a page and for the Hugging Face Hub."""
    from edgeskin.benchmarks.report.cards import card as make

    with console.progress() as progress:
        text = make(
            folder,
            model=model,
            results=results or (),
            html=html,
            hugging_face=hugging_face,
            datasets=dataset or (),
            force=force,
            progress=progress,
        )
    written = [str(path) for path in (html, hugging_face) if path is not None]
    if json:
        console.emit({"written": written, "markdown": text})
    else:
        print("\n".join(written) or text.rstrip())
