"""`edgeskin drift`: the change of a task metric, split by what causes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Force, Json, Split, Trust

if TYPE_CHECKING:
    from edgeskin.data.manifest import Dataset


def drift(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx or .mlpackage")],
    reference: Annotated[Path, typer.Option(help="The run that was trained.")],
    data: Data,
    program: Annotated[
        Path | None, typer.Option(help="The program (.pt2) of an int8 artifact.")
    ] = None,
    preprocess: Annotated[
        str,
        typer.Option(
            help="Who resizes on the device: core, pillow, opencv-linear, opencv-area, nearest."
        ),
    ] = "core",
    under: Annotated[
        list[str] | None,
        typer.Option(
            help="A command to run python under, for the kernels of another processor: "
            "'qemu-x86_64 -cpu Haswell'. May be given several times."
        ),
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(
            help="A result (.json) of edgeskin bench for the same artifact and images, from a "
            "phone for instance. May be given several times."
        ),
    ] = None,
    split: Split = "test",
    images: Annotated[
        int | None, typer.Option(min=1, help="Draw this many of the split's images; else all.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric of the picture; by default what moved most.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture to write: .png or .svg.")] = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Split the change of each metric into preprocessing, quantization, conversion and kernels."""
    from edgeskin.converters.parity.drift import measure
    from edgeskin.converters.parity.plots import moved_most, plot_drift
    from edgeskin.data.manifest import load_split
    from edgeskin.files import check_writable
    from edgeskin.measured import read_measured

    if plot is not None:
        check_writable(plot, force=force)
    dataset = load_split(data, split)
    dataset = dataset if images is None else dataset.take(images)
    if metric or plot:
        _check_metric(artifact, dataset, metric)
    results = [read_measured(path) for path in measured or ()]
    with console.progress() as tell:
        document = measure(
            artifact,
            reference,
            dataset,
            program=program,
            preprocess=preprocess,
            under=under or (),
            measured=results,
            trust=trust,
            tell=tell,
        )
    if plot is not None:
        plot_drift(document, metric or moved_most(document), plot, force=force)
    if json:
        console.emit(document)
    else:
        print_report(document)


def _check_metric(artifact: Path, dataset: Dataset, wanted: str | None) -> None:
    """That there is one to draw, before anything runs."""
    from edgeskin.artifacts import read_metadata
    from edgeskin.errors import UnknownName
    from edgeskin.evaluation import measures

    spec = read_metadata(artifact).spec
    names = [measure.name for measure in measures(spec, dataset.truth(spec))]
    chosen = wanted or (names[0] if names else "of any kind")
    if chosen not in names:
        raise UnknownName(f"no metric '{chosen}'; there are {', '.join(names) or 'none'}")


def print_report(document: dict[str, Any]) -> None:
    for stage in document["stages"]:
        sqnr = f", {stage['sqnr_db']:.1f} dB against the one before" if "sqnr_db" in stage else ""
        print(f"{stage['stage']}: {stage['what']}{sqnr}")
    for stage in document["elsewhere"]:
        print(f"{stage['stage']}: {stage['what']}, {stage['sqnr_db']:.1f} dB against the kernels")
    title = f"{document['artifact']} on {document['data']}/{document['split']}"
    rows = []
    for name, found in document["metrics"].items():
        rows.append((name, "trained", f"{found['start']:.4f}", "", "", found["unit"]))
        whole = {"stage": "in all", "value": found["end"], "change": found["total"]}
        rows += [
            ("", step["stage"], f"{step['value']:.4f}", *_change(step["change"]), "")
            for step in (*found["steps"], whole, *found["elsewhere"])
        ]
    columns = ("metric", "step", "value", "change", "paired 95 % interval", "unit")
    console.table(f"{title}, {document['images']} images", columns, rows)


def _change(change: dict[str, float]) -> tuple[str, str]:
    return f"{change['value']:+.4f}", f"[{change['low']:+.4f}, {change['high']:+.4f}]"
