"""What a conversion says of itself: the file beside its source, its speed, where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from edgeskin.document import Document
from edgeskin.estimate import Estimate
from edgeskin.figures import Evaluation
from edgeskin.formats.model_audit import AuditSummary

Milliseconds = float


class OutputCheck(Document):
    """One output beside that of the torch module; `sqnr_db` is null where every bit agrees."""

    max_abs_diff: float
    sqnr_db: float | None


class SelfCheck(Document):
    """A fresh file beside the torch module that it was made from, on synthetic images.

    Attributes:
        sqnr_db: Of the worst output, in dB; null where every bit agrees.
    """

    runtime: str
    samples: int
    sqnr_db: float | None
    outputs: dict[str, OutputCheck]


class Tried(Document):
    """A file on the compiler of a destination.

    Attributes:
        whole: Whether it takes all of the file; None: nobody tried, or nobody said.
        by: What compiled, and for what.
        taken: Operators that it took; None where it does not count them.
        operators: All of the file's, where it counts them.
        partitions: The parts of the network that it took, one behind the other with the CPU in
            between; None where it does not count them.
        left: Operators that the CPU is left with, by type; empty where it does not name them.
        left_because: Why operators are left, in the compiler's words, a line each.
        max_partitions: The parts that were allowed; None: the whole in one.
        reason: Why it was not tried, or was refused.
    """

    whole: bool | None
    by: str = ""
    taken: int | None = None
    operators: int | None = None
    partitions: int | None = None
    left: Mapping[str, int] = {}
    left_because: tuple[str, ...] = ()
    max_partitions: int | None = None
    reason: str = ""

    @property
    def left_in_words(self) -> str:
        """The operators on the CPU: by type, else their number, where the compiler tells either."""
        if self.left:
            return ", ".join(f"{count} {name}" for name, count in self.left.items())
        if self.taken is None or self.operators is None:
            return "some"
        return f"{self.operators - self.taken} of {self.operators} operators"

    @property
    def accepted(self) -> bool | None:
        """Taken whole, or in no more parts than allowed; None: nobody tried, or nobody said."""
        if self.whole is not False or self.max_partitions is None:
            return self.whole
        return 1 <= (self.partitions or 0) <= self.max_partitions


class Speed(Document):
    """An INT8 file beside float files of the same network, timed in turns on this machine.

    Attributes:
        not_run: Why there are no times; all else is left out then.
        float: Where the float network comes from.
        for_speed: Whether the file promises speed here at all: its scheme does, and it is
            not portable.
        p50_ms: Median CPU time of one inference on one thread, in ms, by precision; fp16
            only where int8 is slower than fp32.
        ratio: Median of int8 over that of fp32, with its 95 % bootstrap interval.
        slower: The interval lies above 1.02.
        advice: The precision to take.
    """

    not_run: str | None = None
    runtime: str | None = None
    machine: str | None = None
    threads: int | None = None
    float: str | None = None
    for_speed: bool | None = None
    rounds: int | None = None
    p50_ms: dict[str, Milliseconds] | None = None
    ratio: Estimate | None = None
    slower: bool | None = None
    advice: Literal["int8", "fp16", "fp32"] | None = None


class CpuCost(Document):
    """A file for several destinations beside one for the CPU alone, timed in turns on this machine.

    Attributes:
        not_run: Why there are no times; all else is left out then.
        same: Both files are the same, byte for byte, and there are no times either.
        p50_ms: Median CPU time of one inference on one thread, in ms: of the file that is for
            `several`, and of that for the CPU `alone`.
        ratio: Median of `several` over that of `alone`, with its 95 % bootstrap interval.
    """

    not_run: str | None = None
    same: bool = False
    runtime: str | None = None
    machine: str | None = None
    threads: int | None = None
    rounds: int | None = None
    p50_ms: dict[Literal["several", "alone"], Milliseconds] | None = None
    ratio: Estimate | None = None


class Trained(Document):
    """What the training of a float network was and gave: a run's `metrics.json`, in short.

    Attributes:
        started_from: The weights before the first step; "" where nobody knows.
        split: What `figures` are of, "test" or "val"; "" where there are none.
        figures: On images that it was not trained on.
    """

    started_from: str = ""
    split: Literal["test", "val", ""] = ""
    figures: Evaluation | None = None


class SourceRecord(Document):
    """What was converted: a run or a program, by name and hash; its place is nobody's business.

    `trained` is of the run, or of the run that the program was made from.
    """

    kind: Literal["run", "program"]
    name: str
    sha256: str
    trained: Trained | None = None


class Conversion(Document):
    """What the worker says of the file that it made.

    Attributes:
        scales: Of an INT8 file: the calibration of its program in short, how many tensors
            are quantized, and the span of the activations' scales.
        tools: Versions, by package.
        cpu_cost: Of a file for a CPU and others; None where nobody asked.
        conversion_s: Wall time, without that of timing.
    """

    source: SourceRecord
    scales: dict[str, Any] | None
    tools: dict[str, str]
    audit: AuditSummary
    parity: SelfCheck
    speed: Speed | None
    cpu_cost: CpuCost | None = None
    timing_s: float = 0.0
    conversion_s: float | None = None
