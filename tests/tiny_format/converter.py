"""A job becomes a file."""

from __future__ import annotations

from pathlib import Path

from tiny_format import pack

from edgeskin.converters import to_onnx
from edgeskin.converters.model import Job


def convert(job: Job, path: Path) -> None:
    to_onnx.convert(job, path)
    path.write_bytes(pack(job.metadata.entries(), path.read_bytes()))
