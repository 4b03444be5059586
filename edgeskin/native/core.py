"""The compiled library, its errors as exceptions, and arrays as pointers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidInput, InvalidSpec, MissingPackage

try:
    from edgeskin.native._edgeskin import ffi as ffi
    from edgeskin.native._edgeskin import lib as lib
except ImportError as error:
    raise MissingPackage(
        f"edgeskin's native core is not built here ({error}). Install a C++ compiler (Debian: apt "
        "install g++, macOS: xcode-select --install), then pip install edgeskin again."
    ) from error

TYPES = {"uint8": np.uint8, "int8": np.int8, "float32": np.float32, "float16": np.float16}


def check(function: Any, *arguments: Any) -> None:
    """Call a function that returns es_status, with an es_error added; raise what it reports.

    Raises:
        InvalidSpec: ES_BAD_SPEC.
        InvalidInput: Any other status but ES_OK.
    """
    error = ffi.new("es_error *")
    status = function(*arguments, error)
    if status == lib.ES_OK:
        return
    message = ffi.string(error.message).decode("utf-8", "replace")
    if status == lib.ES_BAD_SPEC:
        raise InvalidSpec(message)
    raise InvalidInput(message, ffi.string(lib.es_status_name(status)).decode())


def code(prefix: str, name: str) -> int:
    """The C enum's value for a name: `code("ES_", "bilinear")`."""
    value = getattr(lib, f"{prefix}{name}".upper(), None)
    if not isinstance(value, int):
        raise InvalidInput(f"{name!r} is unknown here", "ES_BAD_ENUM")
    return value


def as_array(source: Any) -> NDArray[Any]:
    """A NumPy view of an array, a DLPack tensor on the CPU, or a buffer."""
    if isinstance(source, np.ndarray):
        return source
    if hasattr(source, "__dlpack__"):
        return np.from_dlpack(source)
    return np.asarray(source)


def pointer(array: NDArray[Any], kind: str = "void *") -> Any:
    """The address of an array that the caller keeps alive."""
    return ffi.cast(kind, array.ctypes.data)


def c_mask(pixels: Any) -> tuple[Any, NDArray[np.uint8]]:
    """A mask, uint8 (H, W), as es_mask, and the array that must outlive it."""
    array = np.ascontiguousarray(as_array(pixels))
    if array.dtype != np.uint8 or array.ndim != 2:
        raise InvalidInput(
            f"a mask is uint8 (H, W), got {array.dtype} {array.shape}", "ES_BAD_SIZE"
        )
    mask = ffi.new("es_mask *")
    mask.pixels, mask.stride = pointer(array, "uint8_t *"), array.shape[1]
    mask.height, mask.width = array.shape
    mask.bytes = array.nbytes
    return mask, array


def use_kernels(name: str) -> None:
    """Choose the code path of the whole process: best, scalar, avx2 or neon. Bytes are the same."""
    check(lib.es_use_kernels, code("ES_KERNELS_", name))


def kernels_name() -> str:
    """The code path in use: scalar, avx2 or neon."""
    return str(ffi.string(lib.es_kernels_name()).decode())
