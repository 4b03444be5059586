"""A comparison as a comment on a pull request: the verdict, what changed, and the rest folded.

Names come from files and devices that others called so: every character that could mean something
to Markdown or HTML is escaped, and no name becomes a link or a mention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgeskin.benchmarks.report.gate.change_cells import COLUMNS, cells, moved
from edgeskin.benchmarks.report.gate.compare_documents import Comparison, PairedResults, Reason
from edgeskin.printable import printable, unlinked

_PLAIN = frozenset(" .,+-%=()")
_IN_CODE = _PLAIN | frozenset("_:/#[]")
"""Of names, what a span of code may hold as it is."""
_MARKS = {"@": "<code>&#64;</code>", "_": r"\_", "[": r"\[", "]": r"\]", "'": "'"}
"""What is not an entity; GitHub looks for mentions in what the entity of @ becomes."""
_VERDICTS = {
    "missed": "Missed: this does not pass",
    "unsure": "Unsure: no gate is missed, something is not known",
    "held": "Held: every gate",
}


def compare_markdown(comparison: Comparison) -> str:
    """The whole comment; the same comparison gives the same text."""
    parts = [f"## edgeskin: {_headline(comparison)}"]
    for name, reasons in (("Missed", comparison.missed), ("Unsure", comparison.unsure)):
        if reasons:
            parts.append("\n".join([f"**{name}**", "", *map(_reason, reasons)]))
    parts += _tables(comparison.pairs)
    parts.append(_details(comparison))
    return "\n\n".join(parts) + "\n"


def _headline(comparison: Comparison) -> str:
    if not comparison.asked and comparison.verdict != "missed":
        return "No gates were set"
    return _VERDICTS[comparison.verdict]


def _reason(reason: Reason) -> str:
    title = f"{code(reason.title)}: " if reason.title else ""
    return f"- {title}{text(reason.line)}"


def _tables(pairs: Sequence[PairedResults]) -> Iterator[str]:
    """Of each pair what changed; those in which nothing did are counted."""
    calm = 0
    for pair in pairs:
        rows = [cells(change) for change in pair.changes if moved(change)]
        calm += not rows
        if rows:
            yield f"**{code(pair.title)}**\n\n{_table(rows)}"
    if calm:
        yield f"{calm} of {len(pairs)} pairs of results show no change beyond noise."


def _details(comparison: Comparison) -> str:
    parts = ["<details><summary>All figures, and how they were had</summary>"]
    for pair in comparison.pairs:
        parts.append(f"**{code(pair.title)}**\n\n{_table(map(cells, pair.changes))}")
        budget = [f"limit: {c.line} ({c.state})" for c in pair.budget]
        if lines := [*budget, *_between(pair), *pair.findings, *pair.remarks]:
            parts.append("\n".join(f"- {text(line)}" for line in lines))
    if comparison.unpaired:
        lines = [
            f"- {one.side}: {code(f'{one.file} on {one.device}')}, {text(one.why)}"
            for one in comparison.unpaired
        ]
        parts.append("\n".join(["**Without a partner**", "", *lines]))
    parts.append(
        f"p is corrected for {comparison.tests} tests (Holm). A gate is missed by a change beyond "
        "it that is real (p of 0.05 at most); it is unsure where the change may be noise, or "
        "where the interval reaches over the gate."
    )
    return "\n\n".join([*parts, "</details>"])


def _between(pair: PairedResults) -> Iterator[str]:
    for head, share in pair.equal_decisions.items():
        yield f"{head}: old and new decide {100 * share:.2f} % alike"


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(COLUMNS), " | ".join(["---", *["---:"] * 5, "---"])]
    lines += [" | ".join([code(figure), *map(text, rest)]) for figure, *rest in rows]
    return "\n".join(f"| {line} |" for line in lines)


def code(name: str) -> str:
    """A name that others chose, as code.

    >>> code("a_b")
    '`a_b`'
    >>> code("a|b")
    '<code>a&#124;b</code>'
    """
    shown = printable(name)
    if shown == shown.strip() and shown and all(c.isalnum() or c in _IN_CODE for c in shown):
        return f"`{shown}`"
    return f"<code>{''.join(map(_entity, shown))}</code>"


def text(line: str) -> str:
    r"""A line in which no character means anything to Markdown or HTML, and nobody is mentioned.

    >>> text("p50_ms: [-1, 2] <b>")
    'p50\\_ms: \\[-1, 2\\] &#60;b&#62;'
    """
    shown = unlinked(printable(line))
    return "".join(_MARKS.get(c) or _entity(c) for c in shown).replace("&#58; ", ": ")


def _entity(character: str) -> str:
    plain = character in _PLAIN or character.isalnum()
    return character if plain else f"&#{ord(character)};"
