"""Which input of an operator goes to which parameter of its function, and as what."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from edgeskin.errors import InvalidArtifact
from edgeskin.runtimes.mil.parse import Operation

Kind = Literal["tensor", "tensors", "value", "values"]


def kinds(operation: Operation, function: Callable[..., Any]) -> dict[str, Kind]:
    """What the function of `operation` takes for each input.

    Raises:
        InvalidArtifact: An input that the function lacks, or does not know.
    """
    try:
        inspect.signature(function).bind(**operation.inputs)
    except TypeError as error:
        raise InvalidArtifact(f"operator {operation.type} '{operation.name}': {error}") from error
    known = _kinds(function)
    return {name: known[name] for name in operation.inputs}


def python_value(value: Any, kind: Kind) -> Any:
    """What `Tensor.tolist` or `ndarray.tolist` gave, as a list or as a single value."""
    if kind == "values":
        return value if isinstance(value, list) else [value]
    return value[0] if isinstance(value, list) and len(value) == 1 else value


@cache
def _kinds(function: Callable[..., Any]) -> dict[str, Kind]:
    hints = get_type_hints(function)
    return {name: _kind(hint) for name, hint in hints.items() if name != "return"}


def _kind(hint: Any) -> Kind:
    if get_origin(hint) in (Union, UnionType):
        hint = get_args(hint)[0]
    if hint is Tensor:
        return "tensor"
    if get_origin(hint) in (list, Sequence):
        return "tensors" if get_args(hint)[0] is Tensor else "values"
    return "value"
