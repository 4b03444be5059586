"""The documents of the systems: one a row, and all of them beside the page."""

from __future__ import annotations

from typing import NamedTuple

from edgeskin.artifacts import Precision
from edgeskin.calibration.record import AccuracyControl
from edgeskin.document import Document
from edgeskin.estimate import Estimate
from edgeskin.evaluation import MetricChange
from edgeskin.figures import Evaluation
from edgeskin.formats import FORMATS
from edgeskin.subgroups import Subgroups


class FileKind(NamedTuple):
    """What a file was made of: its precision, and how the tables call it."""

    precision: Precision
    title: str


KINDS = {
    "fp32": FileKind("fp32", "fp32"),
    "fp16": FileKind("fp16", "fp16"),
    "ptq": FileKind("int8", "INT8 PTQ"),
    "qat": FileKind("int8", "INT8 QAT"),
}


class Trained(Document):
    """What training gave.

    `seconds` are of wall time on the row's machine, which it shared, of all folds together; None of
    trainings that were resumed before their record had it. `start_seconds` are those of the
    features that it started from.
    """

    recipe: str
    task: str
    arch: str
    started_from: str
    train_images: int
    epochs: int
    seconds: float | None
    start_seconds: float | None = None
    threads: int
    test: Evaluation
    folds: dict[str, tuple[float, ...]] | None = None


class Quantized(Document):
    """Of quantization-aware training: what came of it in a line, and its wall time."""

    better: bool
    line: str
    seconds: float


class Emulated(Document):
    """A file on an emulated arm64 CPU beside this machine: no speed of any device.

    `equal_decisions` is the share of equal ones by head, `bit_equal` that of equal output values.
    """

    cpu: str
    images: int
    sqnr_db: float
    equal_decisions: dict[str, float]
    bit_equal: dict[str, float]


class FileRow(Document):
    """One converted file beside the float model, on the test split.

    `kind` is one of `KINDS`; `p50_ms` of one thread of the row's machine,
    files taking turns, `latency_ratio` that beside the float file of the same format.
    `float_operators` are those of an INT8 file that compute in float, by type.
    """

    name: str
    target: str
    kind: str
    size_bytes: int
    sqnr_db: float
    equal_decisions: dict[str, float]
    metrics: dict[str, MetricChange]
    groups: dict[str, Subgroups] | None = None
    float_operators: dict[str, int] | None = None
    p50_ms: float | None = None
    latency_ratio: Estimate | None = None
    emulated: Emulated | None = None

    @property
    def is_fp32(self) -> bool:
        """Whether nothing was made smaller."""
        return self.kind == "fp32"

    @property
    def title(self) -> str:
        """Format and kind, as the tables call the file."""
        return f"{FORMATS[self.target].title} {KINDS[self.kind].title}"


class SystemRecord(Document):
    """One row of `rows.ROWS`, measured; all its times are of `machine`.

    `accuracy_control` says which parts its INT8 files have in float, where an SQNR was asked for.
    `changes` are from the float network of the row `beside` to this one, on the same images.
    `weights` is the SHA-256 of the run's weights; null of folds, and where it was not recorded.
    """

    name: str
    page: str
    machine: str
    data: str
    images: int
    trained: Trained
    weights: str | None = None
    beside: str | None = None
    changes: dict[str, MetricChange] | None = None
    qat: Quantized | None = None
    files: tuple[FileRow, ...] = ()
    accuracy_control: AccuracyControl | None = None


class StageTimes(Document):
    """Medians on one thread of the machine that the record names, which other work shared.

    `stages_p50_ms` are of a stage's inference, `join_p50_ms` of making the last stage's pictures of
    an image, `whole_p50_ms` of an image from one end to the other, pre- and post-processing
    included, without the join.
    """

    stages_p50_ms: dict[str, float]
    join_p50_ms: float
    whole_p50_ms: float


class JoinedFiles(Document):
    """A pipeline of files of one format beside that of the runs: at its end, and by stage.

    `kinds` are which of `KINDS` each stage is, by stage.
    """

    target: str
    kinds: dict[str, str]
    sqnr_db: float
    stages_db: dict[str, float]
    equal_statuses: float
    equal_decisions: dict[str, float]
    metrics: dict[str, MetricChange]
    groups: dict[str, Subgroups] | None = None
    times: StageTimes | None = None

    @property
    def is_fp32(self) -> bool:
        """Whether nothing was made smaller."""
        return set(self.kinds.values()) == {"fp32"}

    @property
    def title(self) -> str:
        """Format and kinds, as the tables call the files."""
        kinds = dict.fromkeys(KINDS[kind].title for kind in self.kinds.values())
        return f"{FORMATS[self.target].title} {', '.join(kinds)}"


class PipelineRecord(Document):
    """A pipeline of two float networks beside the whole images, where it answers.

    `metrics` has the whole image as reference and the pipeline as candidate, over the images
    that have an answer; `pictures` is how many the last stage saw. `stages` has the SHA-256 of
    each stage's float weights by row, null where it was not recorded.
    """

    name: str
    page: str
    machine: str
    rules: str
    data: str
    images: int
    statuses: dict[str, int]
    pictures: int
    metrics: dict[str, MetricChange]
    stages: dict[str, str] | None = None
    files: tuple[JoinedFiles, ...] = ()

    def other_than(self, row: SystemRecord) -> bool:
        """Whether a row is a stage of it, and was trained anew since."""
        known = (self.stages or {}).get(row.name)
        return known is not None and row.weights is not None and known != row.weights


class SystemsResult(Document):
    """Everything that the pages show; rows may come from different sessions and machines."""

    version: int = 1
    tools: dict[str, str]
    rows: tuple[SystemRecord, ...]
    pipelines: tuple[PipelineRecord, ...] = ()
