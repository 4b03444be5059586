"""Every operator of the runtime: its name in MIL, and the function that computes it.

One table serves all operator sets (iOS 15 to 18): where a newer one changed an
operator, it added inputs, and a function takes those of all of them. The
control flow is the session's; `const` and `classify` are the reader's.
"""

from __future__ import annotations

from edgeskin.runtimes.mil.ops import (
    activation,
    convolution,
    elementwise,
    gathering,
    normalization,
    pooling,
    quantization,
    reduction,
    resize,
    shape,
    slicing,
)
from edgeskin.runtimes.mil.ops.operator import Ops

THEMES = (
    elementwise,
    activation,
    convolution,
    pooling,
    normalization,
    reduction,
    shape,
    slicing,
    gathering,
    resize,
    quantization,
)
OPERATORS: Ops = {name: operator for theme in THEMES for name, operator in theme.OPERATORS.items()}
