"""The network of a file, and what its runtime makes of it."""

from __future__ import annotations

from pathlib import Path

from edgeskin.formats.network import Network, Placement
from edgeskin.formats.onnx import reader
from tiny_format.unpacked import unpacked


def read(path: Path) -> Network:
    with unpacked(path) as inner:
        return reader.read(inner)


def place(path: Path, network: Network) -> Placement:
    with unpacked(path) as inner:
        return reader.place(inner, network)
