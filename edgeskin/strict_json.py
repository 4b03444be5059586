"""JSON as RFC 8259 has it, and as edgeskin's C core reads it: the same texts, the same values.

Python's `json` takes more (NaN, halves of surrogate pairs, any encoding) and forgets which
members an object gave twice. The limits are those of `es_recipe_from_spec` in edgeskin.h.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from typing import Any, NoReturn

MAX_DEPTH = 64  # of arrays and objects in each other
MAX_NUMBER = 63  # characters


class Members(dict[str, Any]):
    """An object; `repeated` are the names that it gives more than once (the last value stands)."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.repeated = [name for name, count in counts.items() if count > 1]


def parse(text: str | bytes) -> Any:
    """The value of a JSON text; objects are `Members`.

    Raises:
        ValueError: Not JSON in UTF-8, a number too long or too large for a double, half a
            surrogate pair, or more than MAX_DEPTH arrays and objects in each other.
    """
    try:
        document = json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            object_pairs_hook=Members,
            parse_int=lambda digits: int(_short(digits)),
            parse_float=_finite,
            parse_constant=_no_number,
        )
        depth = _depth(document)
    except RecursionError:
        depth = sys.getrecursionlimit()
    if depth > MAX_DEPTH:
        raise ValueError(f"arrays and objects lie more than {MAX_DEPTH} deep in each other")
    json.dumps(document, ensure_ascii=False).encode("utf-8")  # raises on half a surrogate pair
    return document


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0)


def _short(number: str) -> str:
    if len(number) > MAX_NUMBER:
        raise ValueError(f"a number has {len(number)} characters, {MAX_NUMBER} are allowed")
    return number


def _finite(number: str) -> float:
    value = float(_short(number))
    if not math.isfinite(value):
        raise ValueError(f"{number} is too large for a double")
    return value


def _no_number(token: str) -> NoReturn:
    raise ValueError(f"{token} is no number in JSON")
