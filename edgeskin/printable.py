"""Text that others wrote, as a person may see it."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """A name as one line, without what moves the cursor: a line break becomes a backslash, n."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def unlinked(text: str) -> str:
    """Text in which a code host finds no link, issue, or name to call, by invisible word joiners.

    GitHub looks for these in what Markdown makes of the text, so that no escape helps: `www.x.y`,
    `scheme://`, `#123`, `GH-123`, `@name`, and a mail address.

    >>> unlinked("see www.x.y, #12 and @me").split("\u2060")
    ['see www', '.x.y, #', '12 and @', 'me']
    """
    return _LINKS.sub("\\g<0>\u2060", text)


_LINKS = re.compile(r"www(?=\.)|:(?=//)|#(?=\d)|\bGH-(?=\d)|@", re.IGNORECASE)
