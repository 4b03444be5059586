"""Text that others wrote, as a person may see it."""

from __future__ import annotations


def printable(text: str) -> str:
    """A name as one line, without what moves the cursor: a line break becomes a backslash, n."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
