"""The weights file of an ML Program, read as it lies on disk.

A header of 64 bytes, then pairs of a 64-byte record and raw values, all at
multiples of 64 bytes, little-endian. A program names a record by its offset;
the record says the type, the number of bytes, and where the values begin
(coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp). Values of less than a
byte lie bit by bit, the lowest first, across bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact

_VERSION = 2
_SENTINEL = 0xDEADBEEF
_RECORD = struct.Struct("<IIQQQ32x")  # sentinel, type, bytes, offset, unused bits at the end
_TYPES = {
    1: "float16",
    2: "float32",
    3: "uint8",
    4: "int8",
    6: "int16",
    7: "uint16",
    8: "int4",
    9: "uint1",
    10: "uint2",
    11: "uint4",
    12: "uint3",
    13: "uint6",
    14: "int32",
    15: "uint32",
}
BITS = {"uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "int4": 4, "uint6": 6}


class Blobs:
    """One weights file, mapped into memory: a value is read when it is asked for."""

    def __init__(self, path: Path):
        """Map the file and check its header.

        Raises:
            InvalidArtifact: It is empty, or not a weights file.
        """
        self.path = path
        if path.stat().st_size < _RECORD.size:
            raise InvalidArtifact(f"the weights file {path} is truncated: it has no header")
        self._bytes = np.memmap(path, np.uint8, "r")
        version = int.from_bytes(self._bytes[4:8].tobytes(), "little")
        if version != _VERSION:
            raise InvalidArtifact(f"{path} is no weights file of version {_VERSION}: {version}")

    def read(self, offset: int, dtype: str, count: int) -> NDArray[Any]:
        """`count` values of the record at `offset`, flat; int4 to uint6 one to a byte.

        Raises:
            InvalidArtifact: No such record, or it holds another type or number of values.
        """
        size = stored_bytes(dtype, count)
        start = self._values(offset, dtype, size)
        raw = self._bytes[start : start + size]
        return unpack(raw, dtype, count) if dtype in BITS else raw.view(dtype)

    def _values(self, offset: int, dtype: str, size: int) -> int:
        """Where the values begin."""
        if offset + _RECORD.size > len(self._bytes):
            raise self._wrong(offset, f"the file ends at {len(self._bytes)}: it is truncated")
        record = self._bytes[offset : offset + _RECORD.size].tobytes()
        sentinel, code, stored, start, _ = _RECORD.unpack(record)
        if sentinel != _SENTINEL:
            raise self._wrong(offset, "it does not begin with 0xDEADBEEF")
        if _TYPES.get(code) != dtype:
            raise self._wrong(offset, f"it holds {_TYPES.get(code, code)}, the program has {dtype}")
        if stored != size:
            raise self._wrong(offset, f"it holds {stored} bytes, the program needs {size}")
        if start + size > len(self._bytes):
            raise self._wrong(
                offset, f"it ends at {start + size}, the file at {len(self._bytes)}: truncated"
            )
        return int(start)

    def _wrong(self, offset: int, why: str) -> InvalidArtifact:
        return InvalidArtifact(f"{self.path}, record at {offset}: {why}")


def stored_bytes(dtype: str, count: int) -> int:
    return (count * BITS[dtype] + 7) // 8 if dtype in BITS else count * np.dtype(dtype).itemsize


def unpack(raw: NDArray[np.uint8], dtype: str, count: int) -> NDArray[Any]:
    """`count` integers of less than 8 bits, one to a byte: uint8, or int8 for int4."""
    bits = BITS[dtype]
    flat = np.unpackbits(raw, count=count * bits, bitorder="little").reshape(count, bits)
    values: NDArray[Any] = np.packbits(flat, axis=1, bitorder="little").reshape(count)
    if dtype == "int4":
        values = ((values ^ 8).astype(np.int8) - 8).astype(np.int8)
    return values
