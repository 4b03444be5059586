"""What takes long is made once, however its arguments are written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from inspect import signature
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def remembered(function: F) -> F:
    """As `functools.cache`, which takes an argument that is named, or its default, for another."""
    kept, takes = cache(function), signature(function)

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        bound = takes.bind(*args, **named)
        bound.apply_defaults()
        return kept(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]
