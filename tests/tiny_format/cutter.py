"""Parts of a file as files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeskin.formats.network import Network
from edgeskin.formats.onnx.cutter import OnnxCutter
from tiny_format import pack
from tiny_format.unpacked import unpacked


class TinyCutter:
    integers = True

    def __init__(self, path: Path, network: Network):
        with unpacked(path) as inner:
            self.inner = OnnxCutter(inner, network)

    def cut(self, inputs: Sequence[str], outputs: Sequence[str], out: Path) -> None:
        self.inner.cut(inputs, outputs, out)
        out.write_bytes(pack({}, out.read_bytes()))


def open_cutter(path: Path, network: Network) -> TinyCutter:
    return TinyCutter(path, network)
