"""Charts of a result's outputs on its pack: decisions side by side, and whether probabilities hold.

They take the `.npz` beside a result and the pack's truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.answers import Answers
from edgeskin.benchmarks.report.charts import (
    GRID,
    INK,
    NOTHING,
    SERIES,
    WIDTH,
    Chart,
    draw,
    draw_figure,
    number,
    shortened,
)
from edgeskin.evaluation import Truth, measures, predicted_values
from edgeskin.metrics import accuracy, confusion, label_accuracy
from edgeskin.postprocess import Outputs, decisions
from edgeskin.spec import ClassificationHead, DistributionHead, SegmentationHead, Spec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 12
BINS = 10


def decision_charts(name: str, result: str, answers: Answers) -> Iterator[Chart]:
    """The charts of one result, head by head.

    Args:
        name: Of the result in element ids; `result` is what charts call it.
    """
    pack, outputs = answers.pack, answers.outputs
    ours, theirs = decisions(pack.spec, pack.reference), decisions(pack.spec, outputs)
    for head, labels in class_labels(pack.spec).items():
        if len(labels) > MOST_CLASSES:
            continue
        pair = [ours[head].ravel(), theirs[head].ravel()]
        of = "pixels" if ours[head].ndim > 1 else "images"
        truth = _true_classes(pack.spec, pack.truth).get(head)
        yield _against_float(f"{name}-{head}-float", result, head, labels, pair, of)
        if truth is not None and of == "images":
            yield _against_truth(f"{name}-{head}-truth", result, head, labels, truth, pair)
    for head, (right, mass) in _probabilities(pack, outputs).items():
        yield reliability(f"{name}-{head}-reliability", result, head, right, mass)


def _against_float(
    name: str, result: str, head: str, labels: Sequence[str], pair: Sequence[NDArray[Any]], of: str
) -> Chart:
    table = confusion(pair[0], pair[1], len(labels))
    title = f"Decisions of {head}, float model against result {shortened(result, 60)}"
    same = np.trace(table) / max(1, table.sum())
    says = (
        f"A row is what the float model decides, a column what the device does, in {of}; on the "
        f"diagonal, {100 * same:.2f} %, both decide alike. Shading is the share of the row."
    )
    svg = _matrices(name, title, says, labels, [("device", table)], "float model")
    columns = ("float model decides", *(f"device: {label}" for label in labels))
    rows = tuple((label, *map(str, row)) for label, row in zip(labels, table.tolist(), strict=True))
    return Chart(name, title, says, columns, rows, svg)


def _against_truth(
    name: str, result: str, head: str, labels: Sequence[str], truth: NDArray[Any],
    pair: Sequence[NDArray[Any]],
) -> Chart:  # fmt: skip
    tables = [confusion(truth, decided, len(labels)) for decided in pair]
    title = f"Decisions of {head} against the truth: float model, and result {result}"
    right = [100 * np.trace(table) / max(1, table.sum()) for table in tables]
    says = (
        f"A row is the true class, a column what is decided, in images. The float model is right "
        f"on {right[0]:.2f} %, the device on {right[1]:.2f} %."
    )
    named = list(zip(("float model", "device"), tables, strict=True))
    svg = _matrices(name, title, says, labels, named, "truth")
    columns = (
        "truth", *(f"{who}: {label}" for who in ("float", "device") for label in labels),
    )  # fmt: skip
    rows = tuple(
        (label, *map(str, tables[0][i].tolist()), *map(str, tables[1][i].tolist()))
        for i, label in enumerate(labels)
    )
    return Chart(name, title, says, columns, rows, svg)


def _matrices(
    name: str, title: str, says: str, labels: Sequence[str],
    tables: Sequence[tuple[str, NDArray[np.int64]]], rows: str,
) -> str:  # fmt: skip
    n, short = len(labels), [shortened(label, 14) for label in labels]
    left, gap = 1.15, 0.12
    side = (WIDTH - left - 0.1 - gap * (len(tables) - 1)) / len(tables)
    side = min(side, 0.62 * n + 0.4)
    below, above = 0.95, 0.22
    height = below + side + above
    digits = len(str(max(table.max() for _, table in tables)))
    size = float(np.clip(0.75 * 72.0 * side / n / (0.6 * digits), 4.5, 9.0))  # 0.6 em a digit

    def fill(figure: Figure) -> None:
        for k, (who, table) in enumerate(tables):
            box = (
                (left + k * (side + gap)) / WIDTH, below / height, side / WIDTH, side / height,
            )  # fmt: skip
            axes = figure.add_axes(box)
            share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
            for i, j in np.ndindex(n, n):
                colour = SERIES[0] if i == j else SERIES[1]
                axes.fill(
                    (j, j + 1, j + 1, j), (i, i, i + 1, i + 1), fc=colour, ec=GRID, lw=0.5,
                    alpha=0.05 + 0.35 * float(share[i, j]),
                )  # fmt: skip
                if table[i, j]:
                    axes.text(
                        j + 0.5, i + 0.5, str(table[i, j]), ha="center", va="center",
                        fontsize=size, color=INK,
                    )  # fmt: skip
            axes.set_xlim(0, n)
            axes.set_ylim(n, 0)
            axes.set_xticks(np.arange(n) + 0.5, short, rotation=45, ha="right", fontsize=8)
            axes.set_yticks(np.arange(n) + 0.5, short if k == 0 else [], fontsize=8)
            axes.tick_params(length=0)
            axes.set_title(f"{who} decides", fontsize=9, color=INK, pad=4)
            if k == 0:
                axes.set_ylabel(rows)
            for spine in axes.spines.values():
                spine.set_visible(False)

    return draw_figure(fill, name, title, says, height)


def reliability(
    name: str, result: str, head: str, right: Sequence[NDArray[np.bool_]],
    probability: Sequence[NDArray[np.floating]],
) -> Chart:  # fmt: skip
    """Probabilities of what is decided against how often it is right, of float model and device.

    Args:
        right: Whether each decision is right, of the float model and of the device.
        probability: What each gives to its decision, 0 to 1.
    """
    curves = [_binned(r, p) for r, p in zip(right, probability, strict=True)]
    errors = [
        float(np.sum(c.images * np.abs(c.share - c.mean)) / max(1, c.images.sum())) for c in curves
    ]
    names = ("float model", "device")

    def paint(axes: Axes) -> None:
        axes.plot((0, 1), (0, 1), color=GRID, lw=1.5)
        for i, curve in enumerate(curves):
            some = curve.images > 0
            label = f"{names[i]}: expected calibration error {errors[i]:.3f}"
            bars = np.abs(curve.interval[:, some] - curve.share[some])
            axes.errorbar(
                curve.mean[some], curve.share[some], yerr=bars, color=SERIES[i],
                ls=("-", "--")[i], marker="os"[i], ms=4, lw=1.2, elinewidth=0.7, label=label,
            )  # fmt: skip
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("mean probability of what is decided")
        axes.set_ylabel("share that is right")

    title = f"Reliability of {head}'s probabilities, result {shortened(result, 60)}"
    says = (
        f"In {BINS} bins of probability, how often the decision is right; on the grey line a "
        "probability is what it says. Bars are 95 % intervals of the share (Wilson). The expected "
        "calibration error is the mean distance from that line, by images (Guo et al., ICML 2017)."
    )
    rows = tuple(
        (
            f"{b / BINS:.1f} to {(b + 1) / BINS:.1f}",
            *(
                text
                for c in curves
                for text in (
                    str(c.images[b]),
                    number(float(c.mean[b]), 3) if c.images[b] else NOTHING,
                    number(float(c.share[b]), 3) if c.images[b] else NOTHING,
                )
            ),
        )
        for b in range(BINS)
    )
    columns = (
        "probability", *(f"{who}: {what}" for who in ("float", "device") for what in _COLUMNS),
    )  # fmt: skip
    svg = draw(paint, name, title, says, legend=2)
    return Chart(name, title, says, columns, rows, svg)


_COLUMNS = ("decisions", "mean probability", "share right")


@dataclass(frozen=True, eq=False)
class _Curve:
    """Decisions in bins of their probability, (BINS,): how many, its mean, the share right."""

    images: NDArray[np.int64]
    mean: NDArray[np.float64]
    share: NDArray[np.float64]
    interval: NDArray[np.float64]


def _binned(right: NDArray[np.bool_], probability: NDArray[np.floating]) -> _Curve:
    place = np.clip((probability * BINS).astype(int), 0, BINS - 1)
    images = np.bincount(place, minlength=BINS)
    count = np.maximum(images, 1)
    share = np.bincount(place, right.astype(float), BINS) / count
    mean = np.bincount(place, probability, BINS) / count
    return _Curve(images, mean, share, wilson(share, count))


def wilson(share: NDArray[np.floating], count: NDArray[np.integer]) -> NDArray[np.float64]:
    """The 95 % interval of shares of so many, low and high (Wilson, JASA 22, 1927)."""
    z = 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return np.array([middle - half, middle + half])


def class_labels(spec: Spec) -> dict[str, tuple[str, ...]]:
    """The labels of every head that decides for one of several."""
    found = {}
    for head in spec.heads:
        if isinstance(head, ClassificationHead | SegmentationHead) and head.activation == "softmax":
            found[head.name] = tuple(head.labels)
        elif isinstance(head, DistributionHead) and head.ranges is not None:
            found[head.name] = tuple(head.ranges.labels)
    return found


def _true_classes(spec: Spec, truth: Truth) -> dict[str, NDArray[Any]]:
    return {
        m.predicted.removesuffix("_grade"): m.truth
        for m in measures(spec, truth)
        if m.metric is accuracy and m.rows is None
    }


def _probabilities(
    pack: Pack, outputs: Outputs
) -> dict[str, tuple[list[NDArray[np.bool_]], list[NDArray[np.floating]]]]:
    """Whether decisions are right and their probabilities, of both models, by head with labels."""
    found = {}
    both = (pack.reference, outputs)
    for m in measures(pack.spec, pack.truth):
        head = next((h for h in pack.spec.heads if h.name == m.predicted), None)
        if not isinstance(head, ClassificationHead) or m.rows is not None:
            continue
        values = [predicted_values(pack.spec, each)[head.name] for each in both]
        if m.metric is label_accuracy:
            right = [(value == m.truth).ravel() for value in values]
            mass = [np.maximum(x[head.name], 1 - x[head.name]).ravel() for x in both]
        elif m.metric is accuracy:
            right = [value == m.truth for value in values]
            mass = [x[head.name].max(axis=1) for x in both]
        else:
            continue
        found[head.name] = (right, mass)
    return found
