"""Rows of a demo's picture by what a task answers: masks, classes, or a distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgeskin.postprocess import intervals, support
from edgeskin.spec import ClassificationHead, DistributionHead
from edgeskin.walkthrough.mask_panels import draw_masks
from edgeskin.walkthrough.shown_answers import Shown

FLOAT, INT8, TRUTH = "#3b6ea5", "#c0504d", "#222222"


def draw_classes(figure: Any, shown: Shown) -> None:
    """Photos, and under each the probabilities of all classes by float and by INT8."""
    head = cast(ClassificationHead, shown.spec.heads[0])
    for i, photo, chart in _photos_over_charts(figure, shown):
        truth = int(shown.truth[i])
        masses = [answer[head.name][i] for answer in shown.answers]
        _probabilities(chart, masses, truth)
        chart.set_yticks(range(len(head.labels)), head.labels if i == 0 else [""] * len(masses[0]))
        said = [head.labels[int(mass.argmax())] for mass in masses]
        photo.set_title(f"truth: {head.labels[truth]}", fontsize=8.5)
        answer = said[0] if said[0] == said[1] else f"{said[0]}, INT8: {said[1]}"
        right = set(said) == {head.labels[truth]}
        chart.set_title(answer, fontsize=8, color="black" if right else INT8)
    _legend(figure, chart)
    figure.supxlabel("probability; the truth is shaded", fontsize=7.5)


def _legend(figure: Any, chart: Any) -> None:
    """Below all charts, where it hides none of them."""
    handles, names = chart.get_legend_handles_labels()
    figure.legend(handles, names, fontsize=7.5, loc="outside lower right", ncols=2, frameon=False)


def _photos_over_charts(figure: Any, shown: Shown) -> Iterator[tuple[int, Any, Any]]:
    """Index, axes with the photo and empty axes below, for each image."""
    axes = figure.subplots(2, len(shown.pixels), squeeze=False)
    for i, (photo, chart) in enumerate(axes.T):
        photo.imshow(shown.pixels[i])
        photo.set_axis_off()
        chart.tick_params(labelsize=7)
        chart.spines[["top", "right"]].set_visible(False)
        yield i, photo, chart


def _probabilities(chart: Any, masses: list[NDArray[Any]], truth: int) -> None:
    """Two bars a class, and a shade over the true one."""
    place = np.arange(len(masses[0]))
    for name, colour, aside, mass in zip(
        ("float", "INT8"), (FLOAT, INT8), (-0.2, 0.2), masses, strict=True
    ):
        chart.barh(place + aside, mass, 0.38, color=colour, label=name)
    chart.axhspan(truth - 0.48, truth + 0.48, color=TRUTH, alpha=0.12, zorder=0)
    chart.set_ylim(len(place) - 0.5, -0.5)
    chart.set_xlim(0.0, 1.0)


def draw_distributions(figure: Any, shown: Shown) -> None:
    """Photos, and under each the distribution by float and by INT8, and the label."""
    head = cast(DistributionHead, shown.spec.heads[0])
    masses = [answer[f"{head.name}_distribution"] for answer in shown.answers]
    top = 1.15 * max(float(mass.max()) for mass in masses)
    for i, photo, chart in _photos_over_charts(figure, shown):
        low, high = (float(end) for end in np.broadcast_to(np.ravel(shown.truth[i]), (2,)))
        chart.axvspan(low - 1.0, high + 1.0, color=TRUTH, alpha=0.18, linewidth=0)
        _curves(chart, support(head), [mass[i] for mass in masses], top)
        label = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        photo.set_title(f"truth: {label} {head.unit}", fontsize=8.5)
        means = [float(answer[head.name][i, 0]) for answer in shown.answers]
        chart.set_title(f"float {means[0]:.1f}, INT8 {means[1]:.1f}", fontsize=8)
    _legend(figure, chart)
    figure.supxlabel(
        f"{head.unit}; the truth is shaded, the bar is INT8's 80 % interval", fontsize=7.5
    )


def _curves(chart: Any, values: NDArray[Any], masses: list[NDArray[Any]], top: float) -> None:
    by_float, by_int8 = masses
    chart.fill_between(values, by_int8, color=INT8, alpha=0.35, linewidth=0, label="INT8")
    chart.plot(values, by_float, color=FLOAT, linewidth=1.4, label="float")
    first, last = intervals(by_int8[None], values, 0.8)[0]
    chart.plot([first, last], [0.03 * top] * 2, color=INT8, linewidth=3, solid_capstyle="butt")
    chart.set_ylim(0.0, top)
    chart.set_yticks([])


@dataclass(frozen=True)
class Panels:
    """How answers are drawn, and how many rows of panels that takes."""

    height: int
    draw: Callable[[Any, Shown], None]


PANELS: Mapping[str, Panels] = {
    "segmentation": Panels(4, draw_masks),
    "classification": Panels(2, draw_classes),
    "distribution": Panels(2, draw_distributions),
}
"""By the kind of the first head."""
