"""The file on its runtime."""

from __future__ import annotations

from pathlib import Path

from edgeskin.formats.onnx.session import OnnxSession
from edgeskin.runtimes import Kernels, Session
from tiny_format.unpacked import unpacked


def open_session(path: Path, *, threads: int = 1, kernels: Kernels = "fast") -> Session:
    with unpacked(path) as inner:
        return OnnxSession(inner, threads, kernels)
