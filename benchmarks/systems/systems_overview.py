"""All systems at a glance: each from float to INT8 beside what others published, and every row."""

from __future__ import annotations

from collections.abc import Iterator

from edgeskin.benchmarks.peers.int8_page import grid
from edgeskin.benchmarks.systems.rows import PAIRS, ROWS
from edgeskin.benchmarks.systems.systems_documents import KINDS, SystemRecord, SystemsResult
from edgeskin.benchmarks.systems.systems_tables import change_words, networks
from edgeskin.evaluation import MetricChange
from edgeskin.tasks import find_task
from edgeskin.tasks.published import PUBLISHED


def overview(result: SystemsResult) -> str:
    """Tools, the systems, every float network beside its goal, and what is missing."""
    tools = ", ".join(f"{name} {version}" for name, version in result.tools.items())
    parts = [f"Tools: {tools}.", "### Each system, from float to INT8", _systems(result)]
    parts += ["### Every network on its test images", networks(result.rows)]
    known = {*(row.name for row in result.rows), *(f"pipeline {p.name}" for p in result.pipelines)}
    named = (*ROWS, *(f"pipeline {name}" for name in PAIRS))
    if missing := [name for name in named if name not in known]:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n\n".join(parts)


def _systems(result: SystemsResult) -> str:
    """A line a network with files: the metric that decides, and what is left of it in each kind."""
    columns = ("row", "metric", "published", "float", *(k.title for k in KINDS.values()))
    columns += ("worst group of float", "trained")
    return grid(columns, [_system(row) for row in result.rows if row.files])


def _system(row: SystemRecord) -> tuple[str, ...]:
    name = deciding(row)
    found = row.trained.test.metrics[name]
    unit = "" if found.unit == "ratio" else f" {found.unit}"
    seconds = row.trained.seconds
    return (
        row.name,
        name,
        published(row.trained.task, name),
        f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]{unit}",
        *(_most_lost(row, kind, name) for kind in KINDS),
        _worst_group(row, name),
        "" if seconds is None else f"{seconds / 60:.0f} min",
    )


def deciding(row: SystemRecord) -> str:
    """The metric that a row is told by: that of its goal, else of its task."""
    end = find_task(row.trained.task).load().METRIC
    names = (*ROWS[row.name].goals, *(n for n in row.trained.test.metrics if n.endswith(end)))
    return names[0]


def published(task: str, metric: str) -> str:
    """What others reported of a metric, a figure a network; else their first figure, named."""
    figures = [dict(other.figures()) for other in PUBLISHED.get(task, ())]
    if not figures:
        return ""
    alike = [name for name in figures[0] if metric.endswith(_word(name))]
    name = next(iter(alike), next(iter(figures[0])))
    return f"{name}: {'; '.join(known[name] for known in figures if name in known)}"


def _word(name: str) -> str:
    """`mae` of `MAE, years`."""
    return name.partition(",")[0].lower()


def _most_lost(row: SystemRecord, kind: str, metric: str) -> str:
    """The change in the format that loses most."""
    changes = [file.metrics[metric] for file in row.files if file.kind == kind]
    return change_words(max(changes, key=_loss)) if changes else ""


def _loss(change: MetricChange) -> float:
    return change.loss


def _worst_group(row: SystemRecord, metric: str) -> str:
    return "; ".join(_worst_groups(row, metric)) or "not measured"


def _worst_groups(row: SystemRecord, metric: str) -> Iterator[str]:
    """Of the float network, by each column: its name, its value and its labelled images."""
    for by, groups in (row.files[0].groups or {}).items():
        if (gap := groups.gaps.get(metric)) is not None:
            worst = groups.groups[gap.reference.worst]
            value = (worst.metrics or {})[metric].reference
            images = worst.labelled(metric)
            yield f"{by.partition(':')[0]} {gap.reference.worst}: {value:.3f} ({images} images)"
