"""The cells as a page for people, and as JSON beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeskin.benchmarks.accelerators.cells import PRECISIONS, Cell, NetworkCells
from edgeskin.benchmarks.peers.int8_page import compact_json, grid
from edgeskin.benchmarks.systems.page import marked
from edgeskin.benchmarks.systems.rows import limit_of
from edgeskin.benchmarks.systems.systems_tables import change_words, shares
from edgeskin.document import Document
from edgeskin.files import atomic
from edgeskin.formats import FORMATS


class AcceleratorsResult(Document):
    """All networks, with versions by package and the machine."""

    machine: str
    tools: dict[str, str]
    networks: tuple[NetworkCells, ...]


def save(result: AcceleratorsResult, page: Path) -> None:
    """Fill the page's table, and write its JSON."""
    text = marked(page.read_text(encoding="utf-8"), "cells", markdown(result))
    for path, content in ((page, text), (json_path(page), compact_json(result.to_json()))):
        with atomic(path, force=True) as fresh:
            fresh.write_text(content, encoding="utf-8")


def json_path(page: Path) -> Path:
    return page.with_suffix(".json")


def markdown(result: AcceleratorsResult) -> str:
    """A table a network."""
    tools = ", ".join(f"{name} {version}" for name, version in result.tools.items())
    return "\n\n".join([f"{result.machine}; {tools}.", *map(_network, result.networks)])


def _network(network: NetworkCells) -> str:
    known = [cell for cell in network.cells if cell.metrics]
    names = [name for name in (known[0].metrics or {}) if limit_of(name)] if known else []
    columns = ("where", "file", "SQNR dB", "equal decisions", *names, "taken", "s")
    order = {precision: i for i, precision in enumerate(PRECISIONS)}
    cells = sorted(network.cells, key=lambda cell: order[cell.precision])
    rows = [_row(cell, names) for cell in cells if cell.refused is None]
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.refused:
            file = f"{FORMATS[cell.target].title} {cell.precision}"
            reasons.setdefault(f"{file}: {cell.refused}", []).append(cell.place)
    refused = [f"- {reason} ({', '.join(places)})" for reason, places in reasons.items()]
    title = f"### {network.name}\n{network.arch}, {network.images} test images of {network.data}."
    listed = ["Not measured:\n\n" + "\n".join(refused)] if refused else []
    return "\n\n".join([title, grid(columns, rows), *listed])


def _row(cell: Cell, names: Sequence[str]) -> tuple[str, ...]:
    metrics = cell.metrics or {}
    return (
        cell.place,
        f"{FORMATS[cell.target].title} {cell.precision}",
        f"{cell.sqnr_db:.1f}",
        shares(cell.equal_decisions or {}),
        *(change_words(metrics[name]) if name in metrics else "" for name in names),
        "" if cell.taken is None else f"{cell.taken[0]} of {cell.taken[1]}",
        f"{cell.seconds:.0f}",
    )
