"""What an operator is to this reader: a function of its inputs in ONNX's order, and attributes.

A parameter annotated `Tensor` gets a tensor; `Operand` too, but a constant that
is one number comes as that number; `Index` is a NumPy array where it is
constant, else a tensor; every other one gets the Python value of its input or
attribute, which must not depend on the image. `opset` and `outputs`, where a
function has them, are the model's operator set and the number of outputs asked
for. float16, bfloat16 and float32 all arrive as float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

Operator = Callable[..., Any]
Ops = dict[str, Operator]
Ints = Sequence[int]
Operand = Tensor | float
Index = Tensor | NDArray[Any]
