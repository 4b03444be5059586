"""The native pre- and post-processing core, from Python: the same C functions that apps call.

Arrays go in without a copy: NumPy arrays, and anything with `__dlpack__` on the CPU (torch
tensors, JAX arrays), as long as the pixels of a row lie side by side. Every refusal raises
`InvalidInput` with the C library's own message; `edgeskin.h` says what each function promises.
"""

from edgeskin.errors import InvalidInput
from edgeskin.native.core import kernels_name, use_kernels
from edgeskin.native.images import Image, Recipe, place, preprocess

__all__ = ["Image", "InvalidInput", "Recipe", "kernels_name", "place", "preprocess", "use_kernels"]
