"""All systems at a glance: each from float to INT8 beside what others published, and every row."""

from __future__ import annotations

import math
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
    """Networks with files: what each kind of file leaves of the metrics that a row is told by."""
    columns = ("row", "metric", "published", "float", *(k.title for k in KINDS.values()))
    columns += ("worst group of float", "trained")
    rows = [row for row in result.rows if row.files]
    return grid(columns, [_system(row, name) for row in rows for name in shown(row)])


def _system(row: SystemRecord, name: str) -> tuple[str, ...]:
    found = row.trained.test.metrics[name]
    unit = "" if found.unit == "ratio" else f" {found.unit}"
    seconds = row.trained.seconds
    return (
        row.name,
        name,
        published(row.trained.task, name),
        f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]{unit}",
        *(_most_lost(row, kind, name) for kind in KINDS),
        "; ".join(_worst_groups(row, name)),
        "" if seconds is None else f"{seconds / 60:.0f} min",
    )


def shown(row: SystemRecord) -> list[str]:
    """The metric that decides, and those that others published of the task."""
    others = [name for name in row.trained.test.metrics if published(row.trained.task, name)]
    return list(dict.fromkeys((deciding(row), *others)))


def deciding(row: SystemRecord) -> str:
    """The metric that a row is told by: that of its goal, else of its task."""
    end = find_task(row.trained.task).load().METRIC
    names = (*ROWS[row.name].goals, *(n for n in row.trained.test.metrics if n.endswith(end)))
    return names[0]


def published(task: str, metric: str) -> str:
    """What others reported of the metric, by network; empty where they reported another."""
    _, _, kind = metric.partition("_")  # behind the name of the head
    return "; ".join(
        f"{other.network} {figure}"
        for other in PUBLISHED.get(task, ())
        for name, figure in other.figures()
        if name.partition(",")[0].lower() == kind
    )


def _most_lost(row: SystemRecord, kind: str, metric: str) -> str:
    """The change in the format that loses most; in one without a figure, if there is one."""
    changes = [file.metrics[metric] for file in row.files if file.kind == kind]
    return change_words(max(changes, key=_loss)) if changes else ""


def _loss(change: MetricChange) -> float:
    return math.inf if math.isnan(change.loss) else change.loss


def _worst_groups(row: SystemRecord, metric: str) -> Iterator[str]:
    """Of the float network, by each column: its name, its value and its labelled images."""
    by_column = row.files[0].groups
    if by_column is None:
        yield "not measured"
        return
    for by, groups in by_column.items():
        column = by.partition(":")[0]
        if (gap := groups.gaps.get(metric)) is None:
            yield f"{column}: too few images"
            continue
        worst = groups.groups[gap.reference.worst]
        value = (worst.metrics or {})[metric].reference
        yield f"{column} {gap.reference.worst}: {value:.3f} ({worst.labelled(metric)} images)"
