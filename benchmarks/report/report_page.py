"""The report as one HTML page: verdicts, the table of results, charts, and the worst images.

The page needs no network and no script: its policy (Content-Security-Policy) lets it load nothing
but what is inside, and run nothing but the sorting of its tables.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.answers import Answers
from edgeskin.benchmarks.report.charts import Chart, left_out
from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.decision_charts import decision_charts
from edgeskin.benchmarks.report.file_layers import FileLayers, files_of
from edgeskin.benchmarks.report.layer_charts import layer_chart
from edgeskin.benchmarks.report.report_documents import ModelReport, Report
from edgeskin.benchmarks.report.result_cells import COLUMNS, SIGNS, cells, change_text, lines
from edgeskin.benchmarks.report.result_charts import charts_of
from edgeskin.benchmarks.report.shown import Shown, shown_by_model
from edgeskin.benchmarks.report.waterfalls import waterfalls
from edgeskin.benchmarks.report.worst_images import ALIKE, WorstImage, worst_images
from edgeskin.printable import printable
from edgeskin.progress import Progress, silent

MOST_MODELS = 6
"""Models that charts are drawn of."""
MOST_WITH_OUTPUTS = 3
"""Results of a model whose outputs are looked into, the worst first."""
_TEMPLATES = files("edgeskin.benchmarks.report") / "templates"
_SORTS = """
document.querySelectorAll('table.sortable').forEach(function (table) {
  new Tablesort(table);
  table.addEventListener('afterSort', function () {  // what has no figure comes last, both ways
    var column = table.querySelector('th[aria-sort]').cellIndex;
    Array.from(table.tBodies[0].rows).forEach(function (row) {
      if (row.cells[column].dataset.sort === '') { table.tBodies[0].appendChild(row); }
    });
  });
});
"""


@dataclass(frozen=True)
class Pictured:
    """A result whose outputs are at hand.

    Attributes:
        remarks: Of a pipeline, which images its answers are of; and why no image is shown.
        images: Empty where they were not asked for, or where none is bad.
    """

    shown: Shown
    remarks: tuple[str, ...]
    charts: tuple[Chart, ...]
    images: tuple[WorstImage, ...]


@dataclass(frozen=True)
class Pictures:
    """What is drawn of one model.

    Attributes:
        name: Of the model in element ids.
        without: Why there are no pictures of outputs; empty where there are.
    """

    name: str
    report: ModelReport
    charts: tuple[Chart, ...]
    results: tuple[Pictured, ...]
    without: str


def report_page(
    report: Report,
    found: Sequence[Found],
    packs: Mapping[str, Pack],
    *,
    layers: Sequence[FileLayers] = (),
    images: bool = True,
    progress: Progress = silent,
) -> str:
    """The page, as text.

    Args:
        found: What the report is on, in the same order.
        packs: By identity: what outputs are compared with, and the images.
        layers: Of files that results are of.
        images: Whether the worst images of these packs are in the page.

    Raises:
        InvalidResult: A file of outputs is damaged, or of other images than its result.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    shown = shown_by_model(report, found, packs)
    drawn = []
    for done, model in enumerate(report.models[:MOST_MODELS]):
        progress("drawing", done, min(MOST_MODELS, len(report.models)))
        drawn.append(_pictures(f"m{done + 1}", model, shown[model.model], layers, images))
    scripts = _read("tablesort.min.js") + _read("tablesort.number.min.js") + _SORTS
    digest = base64.b64encode(hashlib.sha256(scripts.encode()).digest()).decode("ascii")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    return environment.from_string(_read("report.html.j2")).render(
        report=report,
        rows=[row for model in report.models for row in model.rows],
        cells=cells,
        columns=tuple(COLUMNS),
        signs=SIGNS,
        change_text=change_text,
        lines=lines,
        pictures=drawn,
        models_left_out=len(report.models) - len(drawn),
        css=Markup(_read("report.css")),
        scripts=Markup(scripts),
        scripts_sha256=digest,
        svg=Markup,
    )


def _pictures(
    name: str,
    model: ModelReport,
    shown: Sequence[Shown],
    layers: Sequence[FileLayers],
    images: bool,
) -> Pictures:
    results = tuple(_pictured(name, shown, images))
    charts = (
        *charts_of(name, shown), *waterfalls(name, shown), *_layer_charts(name, shown, layers)
    )  # fmt: skip
    return Pictures(name, model, charts, results, _without(shown, results))


def _layer_charts(
    name: str, shown: Sequence[Shown], layers: Sequence[FileLayers]
) -> Iterator[Chart]:
    files = {file.sha256: file for one in shown for file in files_of(one.result)}
    for i, report in enumerate(layers):
        if report.sha256 in files:
            yield layer_chart(f"{name}-layers{i}", report, files[report.sha256])


def _pictured(name: str, shown: Sequence[Shown], images: bool) -> Iterator[Pictured]:
    left = MOST_WITH_OUTPUTS
    for one in shown:
        if not left:
            return
        if (answers := one.answers()) is not None:
            left -= 1
            worst = tuple(worst_images(answers, one.result.accuracy.changed)) if images else ()
            yield Pictured(
                one,
                tuple(_remarks(answers, none_bad=images and not worst)),
                tuple(decision_charts(f"{name}-r{one.row.number}", one.name, answers)),
                worst,
            )


def _remarks(answers: Answers, *, none_bad: bool) -> Iterator[str]:
    if answers.pipeline is not None:
        total, float_ones = len(answers.pipeline), int(answers.pipeline.answered.sum())
        yield (
            f"Answers at the end of the pipeline, on the {len(answers.images)} of {total} images "
            f"that both answer; the float pipeline answers {float_ones}."
        )
    if none_bad:
        yield (
            "No image is shown: all are decided as by the float model, and no output differs by "
            f"{100 * ALIKE:g} % of its size."
        )


def _without(shown: Sequence[Shown], results: Sequence[Pictured]) -> str:
    """Why decisions, probabilities and images of some results are not shown."""
    if results:
        return left_out(len(shown), len(results), "results' outputs")
    if all(one.pack is None for one in shown):
        return "Decisions, probabilities and images are shown where --pack names the pack."
    return "Decisions, probabilities and images need the .npz that bench writes beside a result."


def _read(name: str) -> Any:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
