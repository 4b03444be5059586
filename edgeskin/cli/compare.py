"""`edgeskin compare`: a new release against the old one, and gates for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json

if TYPE_CHECKING:
    from edgeskin.benchmarks.report.gate.compare_documents import Comparison, PairedResults


def compare(
    old: Annotated[Path, typer.Argument(help="A result of edgeskin bench, or a folder of them.")],
    new: Annotated[Path, typer.Argument(help="The same of the new release.")],
    pack: Annotated[
        list[Path] | None,
        typer.Option(
            help="The pack that both were measured on: accuracy is compared image by image. "
            "Repeated: one for each model."
        ),
    ] = None,
    max_slowdown: Annotated[
        str | None,
        typer.Option(
            help="Gate: how much slower the median inference and the 90th percentile of whole "
            "queries may become, as 5%.",
            rich_help_panel="Gates",
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Gate: points that a metric that is a ratio may lose.", rich_help_panel="Gates"
        ),
    ] = None,
    max_mae_rise: Annotated[
        float | None,
        typer.Option(
            help="Gate: what an error may rise, in the metric's unit.", rich_help_panel="Gates"
        ),
    ] = None,
    max_growth: Annotated[
        str | None,
        typer.Option(help="Gate: how much the file may grow, as 5%.", rich_help_panel="Gates"),
    ] = None,
    max_group_gap: Annotated[
        float | None,
        typer.Option(
            help="Gate: points that the gap between the best and the worst group may grow.",
            rich_help_panel="Gates",
        ),
    ] = None,
    max_load_rise: Annotated[
        str | None,
        typer.Option(
            help="Gate: how much longer the file may take to load, as 50%.",
            rich_help_panel="Gates",
        ),
    ] = None,
    max_memory_rise: Annotated[
        str | None,
        typer.Option(
            help="Gate: how much more memory it may take at its peak, as 10%.",
            rich_help_panel="Gates",
        ),
    ] = None,
    budget: Annotated[
        Path | None,
        typer.Option(
            help="Hold the new results to the limits of this file, as edgeskin.toml.",
            rich_help_panel="Gates",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="What is unsure misses too.", rich_help_panel="Gates"),
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a comment for a pull request.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Hold the results of a new release against an old one's; exit 1 if a gate is missed."""
    from edgeskin.benchmarks.report.gate.compare_junit import compare_junit
    from edgeskin.benchmarks.report.gate.compare_markdown import compare_markdown
    from edgeskin.benchmarks.report.gate.compare_results import compare as held_against
    from edgeskin.benchmarks.report.gate.sarif import sarif as sarif_of
    from edgeskin.files import check_all_writable, write_texts

    targets = [path for path in (markdown, junit, sarif) if path is not None]
    check_all_writable(targets, force=force)
    with console.progress() as progress:
        comparison = held_against(
            old,
            new,
            packs=pack or (),
            max_slowdown=_percent("--max-slowdown", max_slowdown),
            max_drop=max_drop,
            max_mae_rise=max_mae_rise,
            max_growth=_percent("--max-growth", max_growth),
            max_group_gap=max_group_gap,
            max_load_rise=_percent("--max-load-rise", max_load_rise),
            max_memory_rise=_percent("--max-memory-rise", max_memory_rise),
            budget=budget,
            strict=strict,
            progress=progress,
        )
    folder = new if new.is_dir() else new.parent
    texts = (
        (markdown, compare_markdown(comparison)),
        (junit, compare_junit(comparison)),
        (sarif, sarif_of(comparison, folder)),
    )
    write_texts({path: text for path, text in texts if path is not None}, force=force)
    if json:
        console.emit(comparison.to_json())
    else:
        _print(comparison)
    for reason in comparison.missed:
        console.error(f"missed: {reason}")
    for reason in comparison.unsure:
        console.remark(f"unsure: {reason}")
    if comparison.verdict == "missed":
        raise typer.Exit(1)


def _percent(option: str, text: str | None) -> float | None:
    from edgeskin.errors import UnknownName

    if text is None:
        return None
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise UnknownName(f"{option} {text!r}: write a number of percent, as 5%") from error


def _print(comparison: Comparison) -> None:
    from edgeskin.benchmarks.report.gate.change_cells import COLUMNS, cells

    for pair in comparison.pairs:
        title = f"{pair.title}: {pair.old_result} -> {pair.new_result}"
        rows = [tuple(map(console.printable, cells(change))) for change in pair.changes]
        console.table(console.printable(title), COLUMNS, rows)
        for line in _beside(pair):
            print(console.printable(line))
        print()
    for one in comparison.unpaired:
        print(console.printable(f"{one.side}, {one.result}: without a partner, {one.why}"))
    words = {
        "held": f"every gate is held, pairs compared: {len(comparison.pairs)}",
        "unsure": "no gate is missed, but not everything is known",
        "missed": "a gate is missed",
    }
    set_or_missed = comparison.asked or comparison.verdict == "missed"
    print(words[comparison.verdict] if set_or_missed else "no gates were set")


def _beside(pair: PairedResults) -> list[str]:
    lines = [f"limit, {check.state}: {check.line}" for check in pair.budget]
    lines += [
        f"{head}: old and new decide {100 * share:.2f} % alike"
        for head, share in pair.equal_decisions.items()
    ]
    return [*lines, *pair.findings, *pair.remarks]
