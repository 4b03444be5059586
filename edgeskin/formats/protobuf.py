"""The few protobuf fields that hold an artifact's metadata, read without protobuf.

Reading them needs no runtime and no converter.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from edgeskin.errors import InvalidArtifact


def string_map(path: Path, file: Path, fields: tuple[int, ...]) -> dict[str, str]:
    """The map of strings at the end of a path of field numbers, of the message in `file`.

    Raises:
        InvalidArtifact: No whole message; `path` is named in it.
    """
    if not file.is_file() or file.stat().st_size == 0:
        raise InvalidArtifact(f"{path} is not a whole model: {file.name} is missing or empty")
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            pairs = [dict(_fields(pair)) for pair in _descend(data, fields)]
            return {pair[1].decode(): pair.get(2, b"").decode() for pair in pairs}
        except (IndexError, KeyError, ValueError) as error:
            raise InvalidArtifact(
                f"{path} is truncated or not a {path.suffix} model: {error}"
            ) from error


def _descend(data: bytes | mmap.mmap, fields: tuple[int, ...]) -> Iterator[bytes]:
    """The messages at the end of a path of field numbers."""
    for _, value in _fields(data, wanted=fields[0]):
        yield from _descend(value, fields[1:]) if fields[1:] else [value]


def _fields(data: bytes | mmap.mmap, wanted: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields of one protobuf message; numbers are stepped over."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError(f"field {number} ends {at + size - len(data)} bytes past the end")
            if wanted in (None, number):
                yield number, bytes(data[at : at + size])
            at += size
        elif wire == 0:
            _, at = _varint(data, at)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
