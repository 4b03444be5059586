"""The ONNX model of a file as a file, for as long as it is looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_format import unpack


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "model.onnx"
        inner.write_bytes(unpack(path)[1])
        yield inner
