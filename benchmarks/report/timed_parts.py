"""Results one by one, a pipeline's stages each by itself: what was timed by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.limits import no_times
from edgeskin.benchmarks.result import BenchResult, PipelineResult


@dataclass(frozen=True)
class TimedPart:
    """A result, or one stage of a pipeline's.

    Attributes:
        stem: What a file about it is called after.
        stage: Of a pipeline; else empty.
    """

    stem: str
    stage: str
    result: BenchResult

    @property
    def title(self) -> str:
        """File, device and engine in a line, and why its times are none of a device."""
        result = self.result
        accelerator = result.engine.accelerator
        engine = "" if accelerator == "none" else f", {accelerator}"
        why = "" if result.latency is None else no_times(result)
        return f"{result.artifact.name} on {result.device.name}{engine}{f' ({why})' if why else ''}"


def timed_parts(found: Sequence[Found]) -> Iterator[TimedPart]:
    """Each result, or the stages of a pipeline's in its place."""
    for one in found:
        if isinstance(one.result, PipelineResult):
            for stage, result in one.result.stages.items():
                yield TimedPart(f"{one.path.stem}--{stage}", stage, result)
        else:
            yield TimedPart(one.path.stem, "", one.result)
