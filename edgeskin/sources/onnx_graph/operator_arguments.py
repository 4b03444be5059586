"""Which input or attribute of a node goes to which parameter of its function, and as what."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import onnx
import torch
from onnx import NodeProto
from torch import Tensor

from edgeskin.sources.onnx_graph.calls import Draft, Ref
from edgeskin.sources.onnx_graph.dtypes import to_tensor

Kind = Literal["tensor", "operand", "index", "array", "value", "values"]
# Types of which a Python number is held exactly, and gives the same type in torch.
_NUMBERS = (torch.float32, torch.int64, torch.bool)


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: Kind
    many: bool


def bind(
    function: Callable[..., Any], node: NodeProto, draft: Draft, opset: int
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments and options of `function`, tensors as `Ref`s.

    Raises:
        ValueError: An input or attribute that the function lacks or does not
            know, or one that must be constant and depends on the image.
    """
    parameters = _parameters(function)
    positional = [p for p in parameters if not p.many]
    many = next((p for p in parameters if p.many), None)
    moving = [name for name in node.input if name and name not in draft.fixed]
    rank = max((draft.samples[name].dim() for name in node.input if name), default=0)
    arguments = []
    for place, name in enumerate(node.input):
        parameter = many or (positional[place] if place < len(positional) else None)
        if parameter is None:
            raise ValueError(f"it has {len(node.input)} inputs, more than are known")
        numbers = rank if moving else -1
        arguments.append(_argument(parameter, name, draft, numbers) if name else None)
    options = {
        name: to_tensor(value).numpy() if isinstance(value, onnx.TensorProto) else value
        for name, value in attributes(node).items()
    }
    if any(p.name == "opset" for p in positional):
        options["opset"] = opset
    if any(p.name == "outputs" for p in positional):
        options["outputs"] = len(node.output)
    while arguments and arguments[-1] is None:
        arguments.pop()
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return tuple(arguments), options


def attributes(node: NodeProto) -> Mapping[str, Any]:
    """Those of a node: numbers, text, lists of them, and stored tensors."""
    return {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}


def parameter_names(function: Callable[..., Any], count: int) -> list[str]:
    """What `function` calls each of its first `count` arguments."""
    known = _parameters(function)
    return [known[min(place, len(known) - 1)].name for place in range(count)]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value


def _argument(parameter: _Parameter, name: str, draft: Draft, rank: int) -> Any:
    """`rank` is that of the largest input, below 0 where none depends on the image."""
    sample, constant = draft.samples[name], name in draft.fixed
    if parameter.kind == "tensor" or (parameter.kind == "index" and not constant):
        return Ref(name)
    if parameter.kind == "operand":
        plain = constant and sample.numel() == 1 and sample.dtype in _NUMBERS
        return sample.item() if plain and 0 <= sample.dim() <= rank else Ref(name)
    if not constant:
        raise ValueError(f"its input '{parameter.name}' depends on the image; it must be constant")
    if parameter.kind in ("index", "array"):
        return sample.numpy()
    if parameter.kind == "values":
        return sample.flatten().tolist() if sample.numel() else None
    return sample.item() if sample.numel() == 1 else sample.tolist()


@cache
def _parameters(function: Callable[..., Any]) -> tuple[_Parameter, ...]:
    hints = get_type_hints(function)
    return tuple(
        _Parameter(name, _kind(hints[name]), each.kind is each.VAR_POSITIONAL)
        for name, each in inspect.signature(function).parameters.items()
    )


def _kind(hint: Any) -> Kind:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    arrays = any(get_origin(member) is np.ndarray for member in members)
    if Tensor in members:
        return "index" if arrays else "operand" if float in members else "tensor"
    if arrays:
        return "array"
    lists = any(get_origin(member) in (list, Sequence) for member in members)
    return "values" if lists else "value"
