"""A card as one page of HTML: no script, nothing loaded from anywhere.

It is rendered by markdown-it-py from the card's Markdown, with HTML, links and pictures of the
text taken as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.token import Token

_NOT_OURS = ("html_block", "html_inline", "image", "link", "autolink", "reference", "lheading")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, markdown: str) -> str:
    """The page of a card."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(_NOT_OURS)
    body = reader.renderer.render(list(_accessible(reader.parse(markdown))), reader.options, {})
    style = (files("edgeskin") / "card.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: model card</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _accessible(tokens: Sequence[Token]) -> Iterator[Token]:
    """Tables in a frame that scrolls and takes the keyboard; heads have a scope.

    A head without words is left out, and the first cells of the rows are heads instead.
    """
    start = 0
    while start < len(tokens):
        if tokens[start].type != "table_open":
            yield tokens[start]
            start += 1
            continue
        end = next(i for i in range(start, len(tokens)) if tokens[i].type == "table_close")
        yield from _table(tokens[start : end + 1])
        start = end + 1


def _table(tokens: Sequence[Token]) -> Iterator[Token]:
    from markdown_it.token import Token

    body = next((i for i, token in enumerate(tokens) if token.type == "thead_close"), 0) + 1
    head = [token for token in tokens[:body] if token.type == "inline"]
    named = any(token.content for token in head)
    label = head[0].content if named else "facts"
    attributes = {"class": "table", "role": "group", "aria-label": label, "tabindex": "0"}
    yield Token("frame_open", "div", 1, attrs={**attributes}, block=True)
    yield tokens[0]
    if named:
        for token in tokens[1:body]:
            if token.type == "th_open":
                token.attrSet("scope", "col")
            yield token
    yield from _rows(tokens[body:], named)
    yield Token("frame_close", "div", -1, block=True)


def _rows(tokens: Sequence[Token], named: bool) -> Iterator[Token]:
    """The rows; the first cell of each is its head where the table has none."""
    first = False
    for token in tokens:
        if token.type == "tr_open":
            first = not named
        elif first and token.type in ("td_open", "td_close"):
            token.tag = "th"
            if token.type == "td_open":
                token.attrSet("scope", "row")
            else:
                first = False
        yield token
