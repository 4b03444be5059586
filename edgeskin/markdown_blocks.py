"""Blocks of Markdown, of which cards are made; what a person wrote has no HTML and no images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def prose(text: str) -> str:
    r"""What a person wrote, its Markdown kept: no HTML of it counts, and no image is fetched.

    >>> prose("for <b>dermatologists</b>")
    'for &lt;b>dermatologists&lt;/b>'
    >>> print(prose("![seen](https://host/x.png)"))
    !\[seen](https://host/x.png)
    """
    return text.replace("<", "&lt;").replace("![", "!\\[")


def facts(rows: Mapping[str, str]) -> str:
    """A table of two columns without a head; what is empty is left out."""
    return table(("", ""), [(name, text) for name, text in rows.items() if text])


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells)


def _cell(text: str) -> str:
    """What a person wrote, without what would end a cell."""
    return " ".join(prose(text).replace("|", "\\|").split())


def code(lines: Iterable[str]) -> str:
    """Commands, as they are typed."""
    return "\n".join(["```", *lines, "```"])
