"""Where the change of a metric comes from: float model, conversion, precision, device.

A waterfall goes from the float model to one result over other results of the same model and pack:
the float32 file on this machine, the result's own file on this machine, and the file on the device.
All are taken on the same images, so that the steps add up to the whole change. A result that is not
there joins its step with the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.doubts import CPUS
from edgeskin.benchmarks.report.answers import Answers
from edgeskin.benchmarks.report.charts import (
    INK,
    MUTED,
    SERIES,
    Chart,
    draw,
    left_out,
    number,
    shortened,
    signed,
)
from edgeskin.benchmarks.report.report_documents import Row
from edgeskin.benchmarks.report.shown import Shown
from edgeskin.evaluation import MetricChange, measures, predicted_values
from edgeskin.postprocess import Outputs, rows_of
from edgeskin.spec import Spec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOST, FLOAT = "host", "fp32"
MOST_WATERFALLS = 3
"""Of a model."""


@dataclass(frozen=True)
class Step:
    """From one result to the next.

    Attributes:
        name: What makes the difference, as "conversion and precision".
        to: The result that it leads to.
    """

    name: str
    to: Shown


@dataclass(frozen=True)
class Waterfall:
    """The change of one metric up to a result, step by step.

    Attributes:
        images: How many all of the results answer.
        changes: Of each step, from the one before to it, paired on these images.
    """

    steps: tuple[Step, ...]
    metric: str
    images: int
    changes: tuple[MetricChange, ...]


def waterfalls(name: str, shown: Sequence[Shown]) -> Iterator[Chart]:
    """Charts of the results that are reached in two steps or more, the longest way first."""
    chains = [chain for chain in chains_of(shown) if len(chain) > 1]
    passed = {id(step.to) for chain in chains for step in chain[:-1]}
    ends = sorted((c for c in chains if id(c[-1].to) not in passed), key=len, reverse=True)
    more = left_out(len(ends), MOST_WATERFALLS, "waterfalls")
    for i, chain in enumerate(ends[:MOST_WATERFALLS]):
        if (found := measure_steps(chain)) is not None:
            yield waterfall_chart(f"{name}-waterfall{i}", found, more)
            more = ""  # said once


def chains_of(shown: Sequence[Shown]) -> Iterator[tuple[Step, ...]]:
    """The steps to each result with labels and outputs, over the others that are there."""
    there = [one for one in shown if one.row.metric is not None and one.has_answers]
    files, floats = dict[_Key, list[Shown]](), dict[_Key, list[Shown]]()
    for one in filter(_is_here, there):
        files.setdefault(_file(one.row), []).append(one)
        if one.row.precision == FLOAT:
            floats.setdefault(_kind(one.row), []).append(one)
    for one in there:
        ways: list[tuple[str, Shown | None]] = []
        if one.row.precision != FLOAT:
            ways.append(("conversion", _only(floats.get(_kind(one.row), ()))))
        made = "conversion" if one.row.precision == FLOAT else "precision"
        ways.append((made, one if _is_here(one) else _only(files.get(_file(one.row), ()))))
        if not _is_here(one):
            ways.append(("device", one))
        yield tuple(_joined(ways))


def _joined(ways: Sequence[tuple[str, Shown | None]]) -> Iterator[Step]:
    names = list[str]()
    for name, to in ways:
        names.append(name)
        if to is not None:
            yield Step(" and ".join(names), to)
            names = []


_Key = tuple[str, ...]


def _is_here(one: Shown) -> bool:
    return one.row.device == HOST and one.row.accelerator in CPUS


def _file(row: Row) -> _Key:
    return row.pack, row.sha256


def _kind(row: Row) -> _Key:
    """What files of several precisions have in common: they are called NAME-PRECISION."""
    return row.pack, row.target, row.file.replace(f"-{row.precision}", "", 1)


def _only(found: Sequence[Shown]) -> Shown | None:
    """The first, if all are of one file; which of several is meant nobody knows."""
    return found[0] if len({one.row.sha256 for one in found}) == 1 else None


def measure_steps(steps: Sequence[Step]) -> Waterfall | None:
    """The metric of the last result along the steps.

    None where the images have no such labels, or where no step changes anything.

    Raises:
        InvalidResult: Outputs are damaged, or of other images than their result.
    """
    answers = [found for step in steps if (found := step.to.answers()) is not None]
    metric = steps[-1].to.row.metric
    images = reduce(np.intersect1d, (one.images for one in answers))
    spec, truth, reference = _known(answers[-1], images)
    measure = next((m for m in measures(spec, truth) if m.name == metric), None)
    if measure is None or not len(images):
        return None
    values = [
        measure.predicted_by(predicted_values(spec, outputs))
        for outputs in (reference, *(_outputs(one, images) for one in answers))
    ]
    changes = tuple(measure.change(*pair) for pair in pairwise(values))
    if not all(np.isfinite((c.reference, c.candidate)).all() for c in changes):
        return None
    if not any(c.change.low or c.change.value or c.change.high for c in changes):
        return None
    return Waterfall(tuple(steps), measure.name, len(images), changes)


def _known(answers: Answers, images: NDArray[np.intp]) -> tuple[Spec, Outputs, Outputs]:
    """The spec, the labels and the float model's outputs of some images."""
    rows = np.searchsorted(answers.images, images)
    pack = answers.pack
    return pack.spec, rows_of(pack.truth, rows), rows_of(pack.reference, rows)


def _outputs(answers: Answers, images: NDArray[np.intp]) -> Outputs:
    return rows_of(answers.outputs, np.searchsorted(answers.images, images))


def waterfall_chart(name: str, found: Waterfall, more: str = "") -> Chart:
    """Levels of the metric joined by bars, and each step's interval."""
    first, last = found.changes[0], found.steps[-1].to
    scale, unit = (100.0, "points") if first.unit == "ratio" else (1.0, shortened(first.unit))
    of = "%" if first.unit == "ratio" else unit
    levels = [scale * first.reference, *(scale * c.candidate for c in found.changes)]
    labels = [
        "float model",
        *(f"{_short(step.name)} ({step.to.row.number})" for step in found.steps),
        f"result {last.row.number}",
    ]

    def paint(axes: Axes) -> None:
        for line, change in enumerate(found.changes, 1):
            start, end = levels[line - 1], levels[line]
            colour = SERIES[1] if change.loss > 0 else SERIES[2]
            axes.barh(line, end - start, left=start, height=0.5, color=colour, alpha=0.55)
            ends = (start + scale * change.change.low, start + scale * change.change.high)
            axes.plot(ends, (line, line), color=INK, lw=1.2, marker="|", ms=6)
            axes.annotate(
                signed(scale * change.change.value), (max(*ends, start, end), line),
                xytext=(4, 0), textcoords="offset points", fontsize=8.5, va="center", color=INK,
            )  # fmt: skip
        for line, level in enumerate(levels):  # from where a bar ends to where the next begins
            axes.plot((level, level), (line, line + 1), color=MUTED, lw=0.9)
        for line, level in ((0, levels[0]), (len(labels) - 1, levels[-1])):
            axes.plot([level], [line], marker="D", color=INK, ms=5)
            axes.annotate(
                number(level), (level, line), xytext=(6, 0), textcoords="offset points",
                fontsize=8.5, va="center", color=INK,
            )  # fmt: skip
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        low, high = _span(found, scale)
        axes.set_xlim(low - 0.06 * (high - low), high + 0.25 * (high - low))  # for the words
        axes.set_xlabel(f"{shortened(found.metric, 36)}, {of}", loc="right")

    title = f"Where the change of {found.metric} comes from: result {shortened(last.name, 48)}"
    svg = draw(
        paint, name, title, _says(found), height=0.3 * len(labels) + 0.2, left=1.95, right=0.25
    )
    return Chart(
        name, title, _says(found), _columns(of, unit), tuple(_rows(found, scale)), svg, more
    )


def _span(found: Waterfall, scale: float) -> tuple[float, float]:
    """The least and the largest value of the drawing, apart from each other."""
    ends = [
        scale * (change.reference + end)
        for change in found.changes
        for end in (0.0, change.change.value, change.change.low, change.change.high)
    ]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low - 0.5 * scale / 100, high + 0.5 * scale / 100)


def _columns(of: str, unit: str) -> tuple[str, ...]:
    return (
        "step", "to result", "file", f"before, {of}", f"after, {of}", f"change, {unit}",
        "95 % interval",
    )  # fmt: skip


def _rows(found: Waterfall, scale: float) -> Iterator[tuple[str, ...]]:
    for step, change in zip(found.steps, found.changes, strict=True):
        yield (
            step.name, step.to.name, step.to.row.file, number(scale * change.reference),
            number(scale * change.candidate), signed(scale * change.change.value),
            f"[{signed(scale * change.change.low)}, {signed(scale * change.change.high)}]",
        )  # fmt: skip
    total = sum(scale * change.change.value for change in found.changes)
    yield (
        "all steps", found.steps[-1].to.name, found.steps[-1].to.row.file,
        number(scale * found.changes[0].reference), number(scale * found.changes[-1].candidate),
        signed(total), "",
    )  # fmt: skip


def _says(found: Waterfall) -> str:
    kind = found.changes[0]
    better = f"further {'right' if kind.higher_is_better else 'left'}"
    if kind.nominal is not None:
        better = f"nearer to {100 * kind.nominal:g} %"  # of intervals that cover so many
    joined = [step.name for step in found.steps if " and " in step.name]
    missing = f" No result is there that tells apart: {'; '.join(joined)}." if joined else ""
    return (
        f"From the float model, in steps that add up, on the {found.images} images that all of "
        f"these results answer; {better} is better. Conversion is the float32 file on "
        "the host, precision the result's own file there, device the same file on the device. "
        f"A line over a bar is the step's paired 95 % interval.{missing}"
    )


def _short(name: str) -> str:
    """For the axis: three joined steps are no waterfall, so that two words are the most."""
    return name.replace(" and ", " + ")
