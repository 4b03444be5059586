"""`edgeskin report`: results as one page, with a verdict for each model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

if TYPE_CHECKING:
    from edgeskin.benchmarks.report.report_documents import Report


def report(
    results: Annotated[list[Path], typer.Argument(help="Results of bench, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page, a .html file.")],
    budget: Annotated[
        Path | None, typer.Option(help="Limits; without it edgeskin.toml here, if there is one.")
    ] = None,
    pack: Annotated[
        list[Path] | None,
        typer.Option(
            help="A pack that results were measured on: adds decisions, probabilities and, as "
            "small pictures, its worst images. Images go into the page only so; may be repeated."
        ),
    ] = None,
    layers: Annotated[
        list[Path] | None,
        typer.Option(
            help="What verify --layers --json printed of a measured file: adds SQNR by layer; "
            "repeated."
        ),
    ] = None,
    no_images: Annotated[
        bool,
        typer.Option("--no-images", help="With --pack, but no image in the page: no face travels."),
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="A table beside the page, a line a result.")
    ] = False,
    junit: Annotated[
        bool, typer.Option("--junit", help="JUnit XML beside the page, a case a check.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A summary for a pull request beside the page.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show results as one page, with a verdict for each model; exit 1 if one is stop."""
    from edgeskin.benchmarks.report.report_files import report as write

    with console.progress() as progress:
        made = write(
            results,
            out,
            budget=budget,
            packs=pack or (),
            layers=layers or (),
            images=not no_images,
            csv=csv,
            junit=junit,
            markdown=markdown,
            force=force,
            progress=progress,
        )
    if json:
        console.emit(made.to_json())
    else:
        _print(made, out)
    if made.verdict == "stop":
        raise typer.Exit(1)


def _print(made: Report, out: Path) -> None:
    for model in made.models:
        line = f"{model.verdict:5} {model.model}: {model.reason}"
        print(console.printable(line))
    for remark in made.remarks:
        console.remark(console.printable(remark))
    console.say(f"{out}: {made.counted}, {out.stat().st_size / 1e6:.2f} MB")
