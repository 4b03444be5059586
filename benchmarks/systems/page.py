"""The systems' pages in docs/systems: what others published, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from edgeskin.benchmarks.peers.int8_page import compact_json, grid
from edgeskin.benchmarks.systems.rows import ROWS
from edgeskin.benchmarks.systems.systems_documents import SystemsResult
from edgeskin.benchmarks.systems.systems_overview import overview
from edgeskin.benchmarks.systems.systems_tables import markdown
from edgeskin.files import atomic
from edgeskin.tasks.published import PUBLISHED
from edgeskin.training.recipe import find_recipe, read_recipe

OVERVIEW = "README"


def save(result: SystemsResult, docs: Path) -> None:
    """Fill the tables of DOCS/systems/*.md, and write DOCS/results/systems.json."""
    with atomic(json_path(docs), force=True) as fresh:
        fresh.write_text(compact_json(result.to_json()), encoding="utf-8")
    for path in sorted((docs / "systems").glob("*.md")):
        text = filled(path.read_text(encoding="utf-8"), path.stem, result)
        with atomic(path, force=True) as fresh:
            fresh.write_text(text, encoding="utf-8")


def json_path(docs: Path) -> Path:
    return docs / "results" / "systems.json"


def filled(text: str, page: str, result: SystemsResult) -> str:
    """A page with its tables: what others published, and what was measured."""
    if page == OVERVIEW:
        return marked(text, "measured", overview(result))
    rows = [row for row in result.rows if row.page == page]
    joined = [pair for pair in result.pipelines if pair.page == page]
    text = marked(text, "published", "\n\n".join(_published(page)))
    return marked(text, "measured", markdown(rows, joined))


def marked(text: str, mark: str, content: str) -> str:
    """The text with `content` between `<!-- mark -->` and the next `<!-- end -->`."""
    begin, end = f"<!-- {mark} -->", "<!-- end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def _published(page: str) -> Iterator[str]:
    """The figures of others on the tasks of a page, a table a paper and data set."""
    tasks = {
        read_recipe(find_recipe(row.recipe))["task"] for row in ROWS.values() if row.page == page
    }
    figures = [row for task, rows in PUBLISHED.items() if task in tasks for row in rows]
    for (data, doi), group in groupby(figures, key=lambda row: (row.data, row.doi)):
        rows = [(row.network, dict(row.figures())) for row in group]
        names = list(dict.fromkeys(name for _, known in rows for name in known))
        paper = "" if doi is None else f" ([{doi}](https://doi.org/{doi}))"
        yield f"On {data}{paper}:"
        table = [(network, *(known.get(name, "") for name in names)) for network, known in rows]
        yield grid(("network", *names), table)
