"""A job becomes a file."""

from __future__ import annotations

from pathlib import Path

from edgeskin.converters import to_onnx
from edgeskin.converters.model import Job
from tiny_format import pack


def convert(job: Job, path: Path) -> None:
    to_onnx.convert(job, path)
    path.write_bytes(pack(job.metadata.entries(), path.read_bytes()))
