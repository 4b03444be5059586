"""What an operator is to the runtime: a function that takes MIL's inputs by name.

A parameter annotated `Tensor` gets a tensor, one annotated `list[Tensor]` gets
all arguments of its input, and any other gets the Python value of its argument:
a number, a string, or a list of them. Floating tensors arrive as float32; the
result is stored in the type that the program declares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Operator = Callable[..., Any]
Ops = dict[str, Operator]
Ints = Sequence[int]
