"""The SQNR of a file's layers, from input to output, as `verify --layers` compares them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeskin.benchmarks.report.charts import (
    DASHES,
    INK,
    MUTED,
    NOTHING,
    SERIES,
    Chart,
    draw,
    number,
    shortened,
)
from edgeskin.benchmarks.report.file_layers import FileLayers, Layer
from edgeskin.benchmarks.result import ArtifactIdentity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOWEST = 5
"""Layers that are named beside the drawing."""
BOTTOM_DB, TOP_DB = -10.0, 100.0
"""Of the drawing; what is equal to the bit is drawn at the top."""


def layer_chart(name: str, report: FileLayers, artifact: ArtifactIdentity) -> Chart:
    """SQNR up to each layer and of each by itself, the lowest by themselves named.

    Args:
        name: Of the chart in element ids.
        artifact: The file, as its results name it.
    """
    layers = report.layers
    lowest = _lowest(layers)
    top = _top(layers)
    both = [("up to here", [layer.sqnr_db for layer in layers])]
    if any(not math.isnan(layer.own_sqnr_db) for layer in layers):
        both.append(("of the layer by itself", [layer.own_sqnr_db for layer in layers]))

    def paint(axes: Axes) -> None:
        for i, (label, values) in enumerate(both):
            drawn = [_drawn(value, top) for value in values]
            axes.plot(
                range(1, len(layers) + 1), drawn, color=SERIES[i], ls=DASHES[i], lw=1.2,
                marker="os"[i], ms=2.5 if len(layers) <= 120 else 0.0, label=label,
            )  # fmt: skip
        for i in lowest:
            value = _drawn(layers[i].own_sqnr_db, top)
            axes.plot([i + 1], [value], ls="none", marker="D", color=SERIES[7], ms=4.5)
            axes.annotate(
                str(i + 1), (i + 1, value), xytext=(3, -10), textcoords="offset points",
                fontsize=8.5, color=INK,
            )  # fmt: skip
        axes.axhline(0.0, color=MUTED, lw=0.8)
        axes.set_ylim(min(BOTTOM_DB / 2, *axes.get_ylim()), top + 3)
        axes.set_xlim(0, len(layers) + 1)
        axes.set_xlabel("layer, from input to output")
        axes.set_ylabel("SQNR, dB")

    title = f"SQNR by layer: {artifact.name}"
    svg = draw(paint, name, title, _says(report, lowest), legend=len(both))
    return Chart(name, title, _says(report, lowest), _COLUMNS, tuple(_rows(report)), svg)


_COLUMNS = (
    "layer", "name", "kind", "tensor of the file", "up to here, dB", "by itself, dB", "floor, dB",
    "remark",
)  # fmt: skip


def _rows(report: FileLayers) -> list[tuple[str, ...]]:
    return [
        (
            str(place), layer.name, layer.kind or NOTHING, layer.tensor, _db(layer.sqnr_db),
            _db(layer.own_sqnr_db), number(layer.floor_db, 1),
            "below its floor" if layer.name in report.bad else "",
        )
        for place, layer in enumerate(report.layers, 1)
    ]  # fmt: skip


def _says(report: FileLayers, lowest: Sequence[int]) -> str:
    images = "" if report.images is None else f" on {report.images} images"
    runtime = f" by {report.runtime}" if report.runtime else ""
    named = "; ".join(
        f"{i + 1}: {shortened(report.layers[i].name, 60)}, {_db(report.layers[i].own_sqnr_db)} dB"
        for i in lowest
    )
    below = {0: "", 1: "One layer is below its floor. "}.get(
        len(report.bad), f"{len(report.bad)} layers are below their floors. "
    )
    return (
        f"Inner tensors against {report.reference}{images}{runtime}: what was lost from the input "
        "up to a layer, and by the layer itself on exact inputs; higher is better, and equal "
        f"tensors are at the top. {below}Lowest by themselves: {named or 'not known'}."
    )


def _lowest(layers: Sequence[Layer]) -> list[int]:
    """Places of the layers that lose most by themselves, in their order; outputs left out."""
    known = [
        i for i, layer in enumerate(layers)
        if layer.kind != "output" and math.isfinite(layer.own_sqnr_db)
    ]  # fmt: skip
    return sorted(sorted(known, key=lambda i: layers[i].own_sqnr_db)[:LOWEST])


def _top(layers: Sequence[Layer]) -> float:
    """Where equal tensors are drawn: above all others, `TOP_DB` at most."""
    values = [v for layer in layers for v in (layer.sqnr_db, layer.own_sqnr_db)]
    return min(TOP_DB, max((v for v in values if math.isfinite(v)), default=0.0) + 10.0)


def _drawn(value: float, top: float) -> float:
    """NaN leaves a gap in the line."""
    return value if math.isnan(value) else min(max(value, BOTTOM_DB), top)


def _db(value: float) -> str:
    return "not known" if math.isnan(value) else number(value, 1)
