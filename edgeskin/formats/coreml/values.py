"""Values of an ML Program: written into the model, or behind an offset in the weights file.

The weights file (coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp): at
each offset 64 bytes, of which a sentinel (uint32), a type (uint32), the size and
the place of the data (uint64 each). All of it is checked against the file's length.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.formats.coreml.package import Package, messages
from edgeskin.formats.network import bits

_SENTINEL = 0xDEADBEEF
_HEADER = struct.Struct("<IIQQ")
_FIELDS = {"floats": "f4", "doubles": "f8", "ints": "i4", "longInts": "i8", "bools": "?"}


def kind_name(enumeration: Any, number: int) -> str:
    """The word for a number of a protobuf enumeration; the number where it has none."""
    value = enumeration.DESCRIPTOR.values_by_number.get(number)
    return str(number) if value is None else str(value.name)


def dtype(kind: int) -> str:
    """The numpy name of a MIL data type."""
    return kind_name(messages("MIL_pb2").DataType, kind).lower()


def shape(kind: Any) -> tuple[int, ...]:
    """The sizes of a ValueType, -1 for one that is known only at run time."""
    return tuple(
        int(d.constant.size) if d.WhichOneof("dimension") == "constant" else -1
        for d in kind.tensorType.dimensions
    )


class Values:
    """The values of one program."""

    def __init__(self, package: Package):
        self.package = package

    def stored_bytes(self, value: Any) -> int:
        """What `value` takes; a blob's header, place and length are checked."""
        if value.WhichOneof("value") != "blobFileValue":
            return int(value.immediateValue.ByteSize())
        _, size, _ = self._blob(value)
        return size

    def array(self, value: Any) -> NDArray[Any]:
        """The numbers of `value`, flat; empty where it holds text or a type numpy lacks."""
        kind = dtype(value.type.tensorType.dataType)
        if value.WhichOneof("value") == "blobFileValue":
            return self._read(value, kind)
        tensor = value.immediateValue.tensor
        field = tensor.WhichOneof("value")
        if field == "bytes":
            return _of_type(tensor.bytes.values, kind)
        if field not in _FIELDS:
            return np.zeros(0)
        return np.array(getattr(tensor, field).values, _FIELDS[field])

    def _read(self, value: Any, kind: str) -> NDArray[Any]:
        file, size, at = self._blob(value)
        with file.open("rb") as opened:
            opened.seek(at)
            return _of_type(opened.read(size), kind)

    def _blob(self, value: Any) -> tuple[Path, int, int]:
        """File, length and place of a value's data."""
        file = self.package.weights_file(value.blobFileValue.fileName)
        at, end = int(value.blobFileValue.offset), file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(min(at, end))
            header = opened.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise self.package.damaged(
                f"{file.name} has {end} bytes, a weight's header begins at {at}"
            )
        sentinel, _, size, start = _HEADER.unpack(header)
        if sentinel != _SENTINEL:
            raise self.package.damaged(f"{file.name} has no weight at {at}")
        if start + size > end:
            raise self.package.damaged(
                f"{file.name} has {end} bytes, a weight reaches from {start} to {start + size}"
            )
        sizes, kind = shape(value.type), dtype(value.type.tensorType.dataType)
        needed = -(-math.prod(sizes) * bits(kind) // 8)
        if needed > size:
            raise self.package.damaged(
                f"a weight of {'x'.join(map(str, sizes))} {kind} takes {needed} bytes, "
                f"{file.name} has {size} for it"
            )
        return file, size, start


def _of_type(data: bytes, kind: str) -> NDArray[Any]:
    try:
        size = np.dtype(kind).itemsize
    except TypeError:  # a type of fewer than 8 bits
        return np.zeros(0)
    return np.frombuffer(data, kind, len(data) // size)
