"""`edgeskin verify`: an artifact against the float model, on real images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Data, Json, Split


def verify(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx or .mlpackage")],
    reference: Annotated[Path, typer.Option(help="The run that the artifact was made from.")],
    data: Data,
    split: Split = "test",
    min_sqnr_db: Annotated[float | None, typer.Option(help="Gate: exit 1 below it.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Gate: exit 1 if a ratio metric loses more points.")
    ] = None,
    max_mae_rise: Annotated[
        float | None, typer.Option(help="Gate: exit 1 if an MAE rises by more, in its unit.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare an artifact with its float model on every image of a split."""
    from edgeskin.artifacts import record
    from edgeskin.converters.parity import verify as run
    from edgeskin.data.manifest import load_split
    from edgeskin.models.run import load_run

    source, dataset = load_run(reference), load_split(data, split)
    with console.progress() as tell:
        document = run(artifact, source, dataset, progress=lambda i, n: tell("verifying", i, n))
    record(artifact, document)
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


def gates(
    document: dict[str, Any],
    min_sqnr_db: float | None = None,
    max_drop: float | None = None,
    max_mae_rise: float | None = None,
) -> list[str]:
    """One line a missed gate."""
    from edgeskin.converters.parity import worst_drop, worst_mae_rise

    missed = []
    if min_sqnr_db is not None and not document["sqnr_db"] >= min_sqnr_db:
        missed.append(f"SQNR is {document['sqnr_db']:.1f} dB, the gate is {min_sqnr_db:g} dB")
    if max_drop is not None and not worst_drop(document) <= max_drop:
        missed.append(
            f"a metric lost {worst_drop(document):.2f} points, the gate is {max_drop:g} points"
        )
    if max_mae_rise is not None and not worst_mae_rise(document) <= max_mae_rise:
        missed.append(
            f"an MAE rose by {worst_mae_rise(document):.3g}, the gate is {max_mae_rise:g}"
        )
    return missed


def print_report(document: dict[str, Any]) -> None:
    title = f"{document['artifact']} on {document['data']}/{document['split']}"
    console.table(
        f"{title}, {document['images']} images, {document['runtime']}: agreement with float",
        ("output", "SQNR dB", "cosine", "largest difference"),
        [
            (name, f"{a['sqnr_db']:.1f}", f"{a['cosine']:.6f}", f"{a['max_difference']:.3g}")
            for name, a in document["agreement"].items()
        ],
    )
    for name, share in document["equal_decisions"].items():
        print(f"equal decisions, {name}: {100 * share:.1f} %")
    rows = []
    for name, m in document["metrics"].items():
        change = m["change"]
        bounds = f"[{change['low']:+.4f}, {change['high']:+.4f}]"
        values = (f"{m['reference']:.4f}", f"{m['candidate']:.4f}", f"{change['value']:+.4f}")
        rows.append((name, *values, bounds, m["unit"]))
    columns = ("metric", "float", "artifact", "change", "paired 95 % interval", "unit")
    console.table("task metrics", columns, rows)
