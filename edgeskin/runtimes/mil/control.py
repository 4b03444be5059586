"""Operators that run blocks of other operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from edgeskin.runtimes.mil.ops.operator import Ops


def cond(pred: bool, blocks: Sequence[Any] = (), values: Any = None) -> list[Tensor]:
    """The first block where `pred` holds, else the second."""
    return list(blocks[0 if pred else 1].run(values).values())


def while_loop(
    loop_vars: list[Tensor], blocks: Sequence[Any] = (), values: Any = None
) -> list[Tensor]:
    """The second block on its own results for as long as the first one holds."""
    condition, body = blocks

    def given(block: Any) -> dict[str, Tensor]:
        names = (variable.name for variable in block.inputs)
        return {**values, **dict(zip(names, loop_vars, strict=True))}

    while all(bool(held) for held in condition.run(given(condition)).values()):
        loop_vars = list(body.run(given(body)).values())
    return loop_vars


OPERATORS: Ops = {"cond": cond, "while_loop": while_loop}
