"""Options that group images, spelled once, and tables of what each group shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import shown_with

if TYPE_CHECKING:
    from edgeskin.data.grouping import GroupOptions
    from edgeskin.subgroups import GapChange, Subgroups

MaxGroupGap = Annotated[
    float | None,
    typer.Option(
        help="Gate: exit 1 if the gap between the best and the worst group of --by grows by more "
        "points of a ratio.",
        rich_help_panel="Groups",
    ),
]


def _of_groups(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="Give metrics by group too: a column, COLUMN:BOUND,BOUND of numbers (age:30,50), "
            "or skin_tone, measured. May be repeated.",
            rich_help_panel="Groups",
        ),
    ] = None,
    skin_model: Annotated[
        Path | None,
        typer.Option(
            help="For skin_tone: a run or file that segments skin.", rich_help_panel="Groups"
        ),
    ] = None,
    skin_mask: Annotated[
        str | None,
        typer.Option(help="For skin_tone: the column of masks of skin.", rich_help_panel="Groups"),
    ] = None,
) -> GroupOptions:
    """The options as they are kept."""
    from edgeskin.data.grouping import GroupOptions

    return GroupOptions(tuple(by or ()), skin_model, skin_mask)


def takes_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of groups in place of its `groups`."""
    own = inspect.signature(command, eval_str=True, locals={"GroupOptions": object}).parameters
    shared = inspect.signature(_of_groups, eval_str=True, locals={"GroupOptions": object})

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        kept = {name: arguments.pop(name) for name in shared.parameters}
        command(**arguments, groups=_of_groups(**kept))

    rest = [parameter for name, parameter in own.items() if name != "groups"]
    shown_with(with_options, [*rest, *shared.parameters.values()])
    return with_options


def with_gate(groups: GroupOptions, max_points: float | None) -> GroupOptions:
    """The options, their verdicts held against the gate where there is one.

    Raises:
        InvalidData: A gate on the gap between groups that nobody asked for.
    """
    from dataclasses import replace

    from edgeskin.errors import InvalidData

    if max_points is None:
        return groups
    if not groups.by:
        raise InvalidData(
            f"--max-group-gap {max_points:g} is of the gap between groups: say which by --by"
        )
    return replace(groups, allowed_points=max_points)


def worst_columns(subgroups: Mapping[str, Subgroups] | None) -> tuple[str, ...]:
    """The columns that stand behind each metric: the worst group of each grouping."""
    return tuple(f"worst by {by}" for by in subgroups or ())


def worst_cells(subgroups: Mapping[str, Subgroups] | None, metric: str) -> Iterator[str]:
    """What stands in them, of one metric."""
    from edgeskin.subgroups import TOO_FEW

    for parts in (subgroups or {}).values():
        found = parts.worst(metric)
        if found is None:
            yield TOO_FEW
            continue
        name, group = found
        value = (group.metrics or {})[metric].candidate
        yield f"{value:.4f}, {console.printable(name)} ({group.labelled(metric)})"


def print_groups(subgroups: Mapping[str, Subgroups] | None) -> None:
    """A table a grouping: each metric of each group, and how far the groups are apart."""
    from edgeskin.subgroups import TOO_FEW

    columns = ("metric", "group", "images", "reference", "artifact", "change")
    for by, parts in (subgroups or {}).items():
        rows = [row for metric in _metrics(parts) for row in _rows(metric, parts)]
        few = [name for name, group in parts.groups.items() if group.too_few]
        if rows:
            title = f"by {console.printable(by)} ({console.printable(parts.rule)})"
            console.table(title, (*columns, "paired 95 % interval", ""), rows)
        if few:
            images = ", ".join(f"{console.printable(n)} ({parts.groups[n].images})" for n in few)
            print(f"{TOO_FEW}, by {console.printable(by)}: {images}")


def _metrics(parts: Subgroups) -> list[str]:
    names = (name for group in parts.groups.values() for name in group.metrics or ())
    return list(dict.fromkeys(names))


def _rows(metric: str, parts: Subgroups) -> Iterator[tuple[str, ...]]:
    title = metric
    for name, group in parts.groups.items():
        if (change := (group.metrics or {}).get(metric)) is None:
            continue
        interval = f"[{change.change.low:+.4f}, {change.change.high:+.4f}]"
        values = (f"{change.reference:.4f}", f"{change.candidate:.4f}")
        who = (title, console.printable(name), str(group.labelled(metric)))
        yield (*who, *values, f"{change.change.value:+.4f}", interval, "")
        title = ""
    if (gap := parts.gaps.get(metric)) is not None:
        yield _gap(gap)


def _gap(gap: GapChange) -> tuple[str, ...]:
    growth = gap.growth
    values = (f"{gap.reference.gap:.4f}", f"{gap.candidate.gap:.4f}", f"{growth.value:+.4f}")
    interval = f"[{growth.low:+.4f}, {growth.high:+.4f}]"
    return "", "gap, best to worst", "", *values, interval, gap.verdict or ""
