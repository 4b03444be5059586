"""What the demo measured: `demo.json`, and `edgeskin demo --json`."""

from __future__ import annotations

from edgeskin.converters.parity.documents import Verification
from edgeskin.document import Document


class DemoRow(Document):
    """One file of the demo.

    Attributes:
        verification: What `edgeskin verify` gives of it, against float PyTorch.
        p50_ms: Median latency on this machine, one thread; left out, like its samples, where
            the file's own runtime does not exist here.
    """

    file: str
    target: str
    precision: str
    size_bytes: int
    verification: Verification
    p50_ms: float | None = None
    samples_ms: tuple[float, ...] | None = None


class DemoReport(Document):
    """All files of the demo of a task, on the same phantoms.

    `shown` names the task metrics that its table has, of those that each verification holds.
    """

    version: int = 1
    task: str = "acne"
    shown: tuple[str, ...] = ("severity_accuracy", "count_mae")
    images: int
    rows: tuple[DemoRow, ...]
