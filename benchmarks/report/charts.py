"""Charts of the page: vector plots by matplotlib that follow the page's colours.

Every chart has a title, a sentence that says what it shows, and its data as a table. Text stays
text, so that it can be read, searched and copied; colours are the page's variables, so that a
chart is dark where the page is; names of elements begin with the chart's own, so that they are
named once on the page.
"""

from __future__ import annotations

import math
import re
import warnings
import xml.etree.ElementTree as Xml
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from edgeskin.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b1f24", "#565c66", "#d4d8de", "#fffffe"
SERIES = (
    "#0067b1", "#b34700", "#00755a", "#86458f", "#75590a", "#23768f", "#4a4f57", "#b0251f",
)  # fmt: skip
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""What tells one series from another beside its colour."""
NOTHING = "–"  # noqa: RUF001
"""What stands where no figure does."""
WIDTH = 4.8
"""Of a chart in inches: 460 pixels, so that its text can be read on a phone."""

_VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper",
    **{colour: f"series-{i}" for i, colour in enumerate(SERIES, 1)},
}  # fmt: skip
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"font: (?:\w+ )?([\d.]+px)[^;]*")
_LABEL = 27


@dataclass(frozen=True)
class Chart:
    """A chart and what stands around it.

    Attributes:
        name: Of its elements on the page: letters, digits and dashes.
        says: What it shows, in a sentence or two.
        columns, rows: The data that it shows, as text.
        svg: The drawing, one `<svg>` element.
        left_out: What else there would be to show; empty where it shows all.
    """

    name: str
    title: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    svg: str
    left_out: str = ""


def draw(
    paint: Callable[[Axes], None],
    name: str,
    title: str,
    says: str,
    *,
    height: float = 2.6,
    left: float = 0.62,
    bottom: float = 0.5,
    legend: int = 0,
    right: float = 0.15,
    top: float = 0.12,
) -> str:
    """The `<svg>` of one pair of axes, `height` inches high, with a legend of so many lines."""
    below = bottom + (0.19 * legend + 0.12 if legend else 0.0)

    def fill(figure: Figure) -> None:
        whole = figure.get_figheight()
        box = (left / WIDTH, below / whole, 1 - (left + right) / WIDTH, height / whole)
        axes = figure.add_axes(box)
        paint(axes)
        style(axes)
        if legend:
            handles, labels = _legend_of(figure)
            figure.legend(
                handles, labels, loc="lower left", bbox_to_anchor=(0.02, 0.0), frameon=False,
                borderaxespad=0.2, labelspacing=0.35, fontsize=8.5, labelcolor=INK,
            )  # fmt: skip

    return draw_figure(fill, name, title, says, height + below + top)


def draw_figure(
    fill: Callable[[Figure], None], name: str, title: str, says: str, height: float
) -> str:
    """The `<svg>` of a whole figure, `WIDTH` by `height` inches."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    settings: Any = {
        "axes.prop_cycle": cycler(color=SERIES),
        "svg.fonttype": "none", "svg.hashsalt": name, "svg.id": name, "text.parse_math": False,
        "font.size": 9.0, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
        "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
        "ytick.labelcolor": INK, "axes.facecolor": "none", "axes.axisbelow": True,
        "path.simplify": True, "axes.formatter.use_mathtext": False,
    }  # fmt: skip
    written = BytesIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a browser has others
        figure = Figure((WIDTH, height), facecolor="none")
        fill(figure)
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return _for_page(written.getvalue(), name, title, says)


def style(axes: Axes) -> None:
    """Lines of a grid, and no frame."""
    axes.grid(color=GRID, lw=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def log_if_wide(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis for values that are more than five times apart, in plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if min(values) <= 0 or max(values) / min(values) <= 5:
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def shortened(text: str, most: int = _LABEL) -> str:
    """A name that fits beside a plot; the table beside it has all of it."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def number(value: float | None, digits: int = 2) -> str:
    """A figure of a table: `NOTHING` where there is none, and NaN as what it is."""
    if value is None:
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return "NaN" if math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """A change, with its sign."""
    return f"{value:+.{digits}f}" if math.isfinite(value) else number(value)


def left_out(total: int, shown: int, what: str = "results") -> str:
    """What a chart does not show; empty where it shows all."""
    return f"{total - shown} of {total} {what} are left out here." if total > shown else ""


def _legend_of(figure: Figure) -> tuple[list[Any], list[str]]:
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    return [h for handles, _ in found for h in handles], [x for _, labels in found for x in labels]


def _for_page(svg: bytes, name: str, title: str, says: str) -> str:
    """The drawing as a part of a page: named, described, in its colours, without what is not used.

    Element ids that nothing refers to are dropped, the others begin with `name`.
    """
    root = Xml.fromstring(svg)
    used = {
        match for part in root.iter() for value in part.attrib.values()
        for match in re.findall(r"url\(#([^)]+)\)|^#(.+)$", value) for match in match if match
    }  # fmt: skip
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag == f"{_SVG}metadata"]:
            parent.remove(child)
        for child in [c for c in parent if c.tag == f"{_SVG}defs"]:
            for rule in [c for c in child if c.tag == f"{_SVG}style"]:
                child.remove(rule)  # the page has it, once for all charts
    for part in root.iter():
        part.tag = part.tag.removeprefix(_SVG)
        if (target := part.attrib.pop(_LINK, None)) is not None:
            part.set("href", target)
        for key, value in list(part.attrib.items()):
            if key == "id":
                part.attrib.pop("id")
                if value in used:
                    part.set("id", f"{name}-{value}")
                continue
            value = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
            if key == "href":
                value = f"#{name}-{value.removeprefix('#')}"
            if key == "style":
                value = _FONT.sub(r"font-size: \1", value)
                for colour, variable in _VARIABLES.items():
                    value = value.replace(colour, f"var(--{variable})")
            part.set(key, value)
    titles = [
        Xml.Element("title", {"id": f"{name}-title"}),
        Xml.Element("desc", {"id": f"{name}-desc"}),
    ]
    for element, text in zip(titles, (title, says), strict=True):
        element.text = printable(text)
    root[:] = [*titles, *root]
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    root.set("xmlns", _SVG.strip("{}"))
    return Xml.tostring(root, encoding="unicode")
