"""`edgeskin verify`: an artifact against the float model, on real images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json, Split, Trust


def verify(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx or .mlpackage")],
    reference: Annotated[
        Path,
        typer.Option(
            help="The run that the artifact was made from, its program (.pt2), or a float "
            ".onnx or .tflite file of the same network."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder with manifest.csv and the images it names; two files without a spec "
            "are compared on made-up images.",
        ),
    ] = None,
    split: Split = "test",
    min_sqnr_db: Annotated[
        float | None,
        typer.Option(help="Gate: exit 1 below it. Without: the floor of its precision."),
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Gate: exit 1 if a ratio metric loses more points.")
    ] = None,
    max_mae_rise: Annotated[
        float | None, typer.Option(help="Gate: exit 1 if an MAE rises by more, in its unit.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Compare inner tensors too; exit 1 if one is bad.")
    ] = False,
    images: Annotated[int, typer.Option(min=1, help="Images for --layers.")] = 8,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of --layers to write: .png or .svg.")
    ] = None,
    repro: Annotated[
        Path | None,
        typer.Option(help="Folder for the first bad layer (or the worst) as a file that runs."),
    ] = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Compare an artifact with its float model on every image of a split."""
    from edgeskin.converters.parity.foreign import compare_files, has_spec
    from edgeskin.formats import is_artifact

    layers = layers or plot is not None or repro is not None
    foreign = is_artifact(reference) and not has_spec(artifact)
    with console.progress() as tell:
        if foreign:
            document = compare_files(artifact, reference)
        else:
            document = _verify(artifact, reference, data, split, trust, tell)
        if layers:
            document["layers"] = by_layer(
                artifact, reference, data, split, images, plot, repro, force, trust, tell
            )
    missed = gates(document, min_sqnr_db, max_drop, max_mae_rise)
    document["missed_gates"] = missed
    if json:
        console.emit(document)
    else:
        print_report(document)
    for line in missed:
        console.error(line)
    if missed:
        raise typer.Exit(1)


def _verify(
    artifact: Path,
    reference: Path,
    data: Path | None,
    split: str,
    trust: bool,
    tell: console.Tell,
) -> dict[str, Any]:
    from edgeskin.artifacts import record
    from edgeskin.converters.parity import verify as run
    from edgeskin.data.manifest import load_split

    dataset = load_split(_need(data), split)
    document = run(
        artifact,
        reference,
        dataset,
        trust=trust,
        progress=lambda i, n: tell("verifying", i, n),
    )
    record(artifact, document)
    return document


def by_layer(
    artifact: Path,
    reference: Path,
    data: Path | None,
    split: str,
    images: int,
    plot: Path | None,
    repro: Path | None,
    force: bool,
    trust: bool,
    tell: console.Tell,
) -> dict[str, Any]:
    """The document of `--layers`; writes the picture and the folder that were asked for."""
    from edgeskin.artifacts import read_metadata
    from edgeskin.converters.parity.foreign import compare_file_layers, has_spec
    from edgeskin.converters.parity.layers import compare_layers
    from edgeskin.converters.parity.plots import plot_layers
    from edgeskin.converters.parity.reference import open_model
    from edgeskin.data.manifest import load_split
    from edgeskin.files import check_writable

    for out in (plot, repro):
        if out is not None:
            check_writable(out, force=force)
    progress = partial(tell, "comparing layers")
    if has_spec(artifact):
        model = open_model(reference, read_metadata(artifact).spec, trust=trust)
        pixels = load_split(_need(data), split).take(images).pixels(model.spec.input)
        document = compare_layers(
            artifact, model, pixels, repro=repro, force=force, progress=progress
        )
    else:
        document = compare_file_layers(
            artifact, reference, images, repro=repro, force=force, progress=progress
        )
    if plot is not None:
        plot_layers(document, plot, force=force)
    return document


def _need(data: Path | None) -> Path:
    from edgeskin.errors import InvalidData

    if data is None:
        raise InvalidData("the artifact has a spec, so that it is verified on images: pass --data")
    return data


def gates(
    document: dict[str, Any],
    min_sqnr_db: float | None = None,
    max_drop: float | None = None,
    max_mae_rise: float | None = None,
) -> list[str]:
    """One line a missed gate or a fault."""
    from edgeskin.converters.parity import worst_drop, worst_mae_rise
    from edgeskin.converters.parity.gates import faults

    missed = _bad_layers(document.get("layers"))
    missed += faults(document, min_sqnr_db)
    if "metrics" not in document:
        asked = (max_drop, max_mae_rise) != (None, None)
        why = "two files without a spec have no task"
        return missed + [f"the gates on metrics were not checked: {why}"] * asked
    if max_drop is not None and not worst_drop(document) <= max_drop:
        missed.append(
            f"a metric lost {worst_drop(document):.2f} points, the gate is {max_drop:g} points"
        )
    if max_mae_rise is not None and not worst_mae_rise(document) <= max_mae_rise:
        missed.append(
            f"an MAE rose by {worst_mae_rise(document):.3g}, the gate is {max_mae_rise:g}"
        )
    return missed


def _bad_layers(document: dict[str, Any] | None) -> list[str]:
    from edgeskin.converters.parity.layers import explain_first_bad

    line = "" if document is None else explain_first_bad(document)
    return [line] if line else []


SQNR = (
    "SQNR dB: signal to quantization noise ratio, 10 log10 of the power of the reference's values "
    "over that of the difference; at 20 dB the difference is a tenth of the values."
)


def print_report(document: dict[str, Any]) -> None:
    _print_whole(document)
    print(SQNR)
    if "layers" in document:
        _print_layers(document["layers"])


def _title(document: dict[str, Any]) -> str:
    return f"{document['artifact']} on {document['data']}/{document['split']}"


def _print_whole(document: dict[str, Any]) -> None:
    console.table(
        f"{_title(document)}, {document['images']} images, {document['runtime']}: agreement with "
        "the reference",
        ("output", "SQNR dB", "cosine", "largest difference"),
        [
            (name, f"{a['sqnr_db']:.1f}", f"{a['cosine']:.6f}", f"{a['max_difference']:.3g}")
            for name, a in document["agreement"].items()
        ],
    )
    for name, share in document.get("equal_decisions", {}).items():
        print(f"equal decisions, {name}: {100 * share:.1f} %")
    rows = []
    for name, m in document.get("metrics", {}).items():
        change = m["change"]
        bounds = f"[{change['low']:+.4f}, {change['high']:+.4f}]"
        values = (f"{m['reference']:.4f}", f"{m['candidate']:.4f}", f"{change['value']:+.4f}")
        rows.append((name, *values, bounds, m["unit"]))
    columns = ("metric", "reference", "artifact", "change", "paired 95 % interval", "unit")
    if rows:
        console.table("task metrics", columns, rows)


def _print_layers(document: dict[str, Any]) -> None:
    marks = dict.fromkeys(document["worst"], "worst") | dict.fromkeys(document["bad"], "BAD")
    console.table(
        f"layers, {document['images']} images, {document['runtime']}; products matched: "
        f"{document['matched_products']}",
        ("layer", "SQNR dB", "by itself", ""),
        [
            (
                console.printable(row["name"]),
                f"{row['sqnr_db']:.1f}",
                f"{row['own_sqnr_db']:.1f}",
                marks.get(row["name"], ""),
            )
            for row in document["layers"]
        ],
    )
    if "repro" in document:
        made = document["repro"]
        name = console.printable(made["layer"])
        print(f"{name} by itself, {made['sqnr_db']:.1f} dB: {made['folder']}/run.py")
