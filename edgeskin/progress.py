"""How far a long work is: one callback for all of them."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is done (up to a comma: the kind of work), how much of it, and of how much."""


def silent(what: str, done: int, total: int) -> None:
    """The `Progress` that says nothing."""
