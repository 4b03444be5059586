"""Whether an artifact is the one it should be, from what `verify` measured: faults, a line each.

Floors (`floors.py`) are for a file that is wrong, not for one that is imprecise; a
gate of one's own (`--min-sqnr-db`) stands in their place.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeskin.artifacts import Metadata
from edgeskin.converters.parity.diagnose import NONE_FITS
from edgeskin.converters.parity.documents import DriftReport, FileComparison, Verification
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.pipeline_documents import PipelineDrift, PipelineVerification
from edgeskin.converters.parity.reference import Model
from edgeskin.formats import format_of
from edgeskin.subgroups import missed_gaps


def faults(
    comparison: Verification | FileComparison, min_sqnr_db: float | None = None
) -> tuple[str, ...]:
    """Why the artifact is not that of its reference; empty where nothing speaks against it."""
    if isinstance(comparison, FileComparison):
        return _too_low(comparison, min_sqnr_db, "")
    if isinstance(comparison, PipelineVerification):
        return (*_of_stages(comparison, min_sqnr_db), *_of_end(comparison, min_sqnr_db))
    cause = comparison.cause
    none_fits = "" if min_sqnr_db is not None else f". {NONE_FITS}"
    low = _too_low(comparison, min_sqnr_db, f": {cause}" if cause else none_fits)
    return (*(low or _lines(cause)), *comparison.disagrees)


def grown_gaps(comparison: Verification | DriftReport, max_points: float | None) -> tuple[str, ...]:
    """The lines of `missed_gaps`, of pipelines those of the share of images answered too."""
    parts = [comparison.subgroups or {}]
    if isinstance(comparison, PipelineVerification | PipelineDrift):
        parts.insert(0, comparison.answered or {})
    return tuple(dict.fromkeys(line for part in parts for line in missed_gaps(part, max_points)))


def _too_low(
    comparison: Verification | FileComparison, min_sqnr_db: float | None, why: str
) -> tuple[str, ...]:
    """Of an SQNR below the gate, or below its floor where there is none."""
    name, limit = "the gate", min_sqnr_db
    if limit is None:
        name, limit = f"the floor of {comparison.precision}", comparison.floor_db
    if comparison.sqnr_db >= limit:
        return ()
    return (f"SQNR is {comparison.sqnr_db:.1f} dB, {name} is {limit:g} dB{why}",)


def _of_stages(comparison: PipelineVerification, min_sqnr_db: float | None) -> Iterator[str]:
    for name, stage in comparison.stages.items():
        yield from (f"stage '{name}': {line}" for line in faults(stage, min_sqnr_db))


def _of_end(comparison: PipelineVerification, min_sqnr_db: float | None) -> tuple[str, ...]:
    if comparison.images == 0:
        counts = comparison.statuses["artifact"]
        said = ", ".join(f"{n} {status}" for status, n in counts.items())
        return (f"no image is answered by both: the artifact says {said}",)
    return () if min_sqnr_db is None else _too_low(comparison, min_sqnr_db, ", at the end")


def _lines(cause: object) -> tuple[str, ...]:
    return () if cause is None else (str(cause),)


def disagrees(file: OpenedFile, model: Model) -> tuple[str, ...]:
    """What a file says of itself that is not so of its reference, and not so of its program."""
    return (
        *other_weights(file.metadata.weights_sha256, model),
        *_other_program(file, model),
    )


def other_weights(weights_sha256: str, model: Model) -> list[str]:
    """A line where other weights than the model's are named, by hash; "" names none."""
    expected = model.weights_sha256
    if not (expected and weights_sha256) or expected == weights_sha256:
        return []
    return [
        f"it was made from the weights {weights_sha256[:16]}..., the reference has "
        f"{expected[:16]}...: another epoch or another run. Pass the run that it was made from, "
        "or convert this one"
    ]


def _other_program(file: OpenedFile, model: Model) -> list[str]:
    """Of a program as reference: integers and scales that the file has not."""
    from torch import fx

    from edgeskin.converters.audit.examine import examine
    from edgeskin.converters.audit.stored import differences
    from edgeskin.converters.audit.verdict import integers
    from edgeskin.converters.model import Job

    if not isinstance(model.network, fx.GraphModule):
        return []
    audit, _ = examine(file.path, file.network)

    def other(graph: fx.GraphModule) -> list[str]:
        return [*integers(graph, audit), *differences(graph, file.network)]

    faults = other(model.network)
    if not faults:
        return []
    job = Job(model.network, Metadata(model.spec, "tensor", "int8"))
    made = format_of(file.path).prepared(job)  # what a portable file has as the program has it
    assert isinstance(made.network, fx.GraphModule)
    return faults if made is job else other(made.network)
