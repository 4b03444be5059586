"""The native pre- and post-processing core, from Python: the same C functions that apps call.

Arrays go in without a copy: NumPy arrays, and anything with `__dlpack__` on the CPU (torch
tensors, JAX arrays), as long as the pixels of a row lie side by side. Every refusal raises
`InvalidInput` with the C library's own message; `edgeskin.h` says what each function promises.
"""

from edgeskin.errors import InvalidInput
from edgeskin.native.core import kernels_name, use_kernels
from edgeskin.native.inputs import Image, Placement, Recipe, place, preprocess
from edgeskin.native.outputs import (
    Box,
    Quantity,
    Tensor,
    classify,
    components,
    dequantize,
    find_crops,
    grade,
    measure,
    segment,
)

__all__ = [
    "Box",
    "Image",
    "InvalidInput",
    "Placement",
    "Quantity",
    "Recipe",
    "Tensor",
    "classify",
    "components",
    "dequantize",
    "find_crops",
    "grade",
    "kernels_name",
    "measure",
    "place",
    "preprocess",
    "segment",
    "use_kernels",
]
