"""Parity by layer: how far an artifact's inner tensors agree with the float model's."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.artifacts import Io
from edgeskin.converters.parity.compare import same_model
from edgeskin.converters.parity.documents import LayerReport, LayerRow
from edgeskin.converters.parity.file_graph import FileGraph
from edgeskin.converters.parity.layer_comparison import Graph, Images, LayerComparison, Pair
from edgeskin.converters.parity.layout import layouts, quantize
from edgeskin.converters.parity.opened import OpenedFile, opened
from edgeskin.converters.parity.parts import Elsewhere, Parts
from edgeskin.converters.parity.reference import Model, need_network
from edgeskin.converters.parity.repro import write_repro
from edgeskin.converters.parity.torch_graph import TorchGraph
from edgeskin.files import sha256
from edgeskin.preprocess import normalize
from edgeskin.progress import Progress, silent
from edgeskin.spec import InputSpec

Array = NDArray[Any]
WORST = 5


def compare_layers(
    artifact: OpenedFile | Path | str,
    reference: Model,
    pixels: NDArray[np.uint8],
    *,
    elsewhere: Elsewhere | None = None,
    repro: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> LayerReport:
    """Both figures of every layer (see `layer_comparison`), image by image.

    Args:
        reference: A run, a program or a model file.
        pixels: uint8 (N, H, W, 3); what is matched by value is matched on the first.
        elsewhere: What runs the artifact's parts; None: its own runtime here.
        repro: A folder to write the first bad layer into, or the worst one.

    Raises:
        InvalidArtifact: Carries no spec, has more than one input, or no layer matches.
    """
    with ExitStack() as stack:
        file = stack.enter_context(opened(artifact))
        spec, io = file.metadata.spec, file.metadata.io
        same_model(reference.spec, spec)
        parts = stack.enter_context(Parts(file, elsewhere))
        graph: Graph
        if reference.file is None:
            graph, known_parts = TorchGraph(need_network(reference), spec, io), None
            known_spec, known_io = spec, io
        else:
            known_file = stack.enter_context(opened(reference.file))
            known_parts = stack.enter_context(Parts(known_file))
            graph, known_spec, known_io = FileGraph(known_parts), reference.spec, reference.io

        def image(number: int) -> tuple[Array, Array]:
            x = as_input(pixels[number], known_spec.input, known_io, known_parts)
            return x, as_input(pixels[number], spec.input, io, parts)

        precision = file.metadata.precision
        if precision == "fp32" and elsewhere is not None and elsewhere.in_half:
            precision = "fp16"
        pair = Pair(parts, graph, precision, Images(len(pixels), image))
        return measure(pair, reference.name, repro=repro, force=force, progress=progress)


@np.errstate(over="ignore", invalid="ignore")  # values that are no numbers: the figures say so
def measure(
    pair: Pair,
    reference: str,
    *,
    repro: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> LayerReport:
    """The report of an opened pair, after all its images; `reference` is what to call it."""
    comparison = LayerComparison(pair, progress)
    for number in range(pair.images.count):
        comparison.add(number)
        progress("comparing layers", number + 1, pair.images.count)
    rows = tuple(comparison.row(layer) for layer in comparison.layers.values())
    alone = tuple(row for row in rows if not row.refused)
    bad = tuple(row.name for row in alone if not row.own_sqnr_db >= row.floor_db)
    worst = _worst(alone)
    products = sum(row.kind == "multiply" for row in rows)
    unmatched = sum(point.kind == "multiply" for point in comparison.unmatched)
    reproduction = None
    if repro is not None:
        reproduction = write_repro(comparison, (*bad, *worst)[0], repro, force=force)
    elsewhere = pair.parts.elsewhere
    return LayerReport(
        artifact=pair.parts.path.name,
        sha256=sha256(pair.parts.path),
        reference=reference,
        images=pair.images.count,
        precision=pair.precision,
        runtime=comparison.session.runtime,
        simulated=elsewhere.simulated if elsewhere else "",
        simulator=elsewhere.title if elsewhere else "",
        untouched_db=comparison.untouched_db() if elsewhere else None,
        matched_products=f"{products} of {products + unmatched}",
        unmatched=tuple(point.name for point in comparison.unmatched),
        missing_additions=comparison.missing_additions,
        first_bad=bad[0] if bad else None,
        bad=bad,
        worst=worst,
        layers=rows,
        repro=reproduction,
    )


def _worst(rows: tuple[LayerRow, ...]) -> tuple[str, ...]:
    """The layers that lose most by themselves; NaN comes first."""
    inner = [row for row in rows if row.kind != "output"]
    inner.sort(key=lambda row: -np.inf if np.isnan(row.own_sqnr_db) else row.own_sqnr_db)
    return tuple(row.name for row in inner[:WORST])


def as_input(pixels: NDArray[np.uint8], spec: InputSpec, io: Io, parts: Parts | None) -> Array:
    """Pixels (H, W, 3) as a file takes them, or as a torch network does."""
    if io == "app":
        return pixels[None]
    x = normalize(pixels, spec)
    if parts is None:
        return x
    tensor = parts.held_as(parts.input)
    layout = layouts(x.shape, tensor.shape, nhwc=not parts.network.qdq)[0]
    return quantize(layout.to_artifact(x), tensor)


def explain_first_bad(report: LayerReport) -> str:
    """What is known of a broken file, in a line: where it begins, and sums that are not there.

    "" where no layer is below its floor.
    """
    if report.first_bad is None:
        return ""
    row = next(row for row in report.layers if row.name == report.first_bad)
    line = (
        f"layer {row.name} agrees to {row.own_sqnr_db:.1f} dB by itself, its floor is "
        f"{row.floor_db:g} dB ({len(report.bad)} are below theirs)"
    )
    if missing := report.missing_additions:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        line += f"; the addition {missing[0]}{more} is not in the file: it has one input less"
    return line
