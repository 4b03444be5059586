"""The documents of parity: of a verification, of a comparison by layer, and of drift."""

from __future__ import annotations

from typing import Literal

from edgeskin.artifacts import Evidence, Precision
from edgeskin.document import Document
from edgeskin.estimate import Estimate
from edgeskin.evaluation import MetricChange, MetricKind
from edgeskin.subgroups import Subgroups


class OutputAgreement(Document):
    """How far one output agrees with the reference's, over all images.

    `sqnr_db` is in decibels and `inf` for equal values, `cosine` at most 1,
    `max_difference` in the output's own unit.
    """

    sqnr_db: float
    cosine: float
    max_difference: float


class Explanation(Document):
    """A mistake that explains a file: `sqnr_db` with it, `as_said_db` without, in decibels.

    `line` says so to a person.
    """

    name: str
    sqnr_db: float
    as_said_db: float
    line: str

    def __str__(self) -> str:
        return self.line


class LayerRow(Document):
    """One layer: a tensor of the reference, `name`, and the artifact's `tensor` that is the same.

    All figures are SQNR in decibels: `sqnr_db` of all that was lost from the input to here,
    `own_sqnr_db` of what the layer loses by itself, `floor_db` what that must reach, and
    `rounding_db` the float32 layer against float64, null where nobody knows it. `by` says how
    the two tensors were found to be the same. An accelerator may run a file and not each part of
    it by itself: `refused` says why, and `own_sqnr_db` is NaN then.
    """

    name: str
    kind: Literal["input", "multiply", "add", "output"]
    tensor: str
    by: Literal["name", "values", "order"]
    sqnr_db: float
    own_sqnr_db: float
    rounding_db: float | None
    floor_db: float
    refused: str = ""


class Reproduction(Document):
    """A layer written to `folder`, as a file that runs; its run.py prints `sqnr_db` (decibels)."""

    layer: str
    folder: str
    sqnr_db: float


class LayerReport(Document):
    """An artifact beside its reference, by layer, from input to output.

    `sha256` is the artifact's. `bad` layers are below their floors by themselves, `worst` are the
    lowest of all but outputs.
    `unmatched` tensors of the artifact are like none of the reference; `missing_additions` are
    sums of the reference, where the artifact has none that is left. Of a simulated accelerator,
    `simulated` is its name ("htp:SM8750"), `simulator` says it to a person, and `untouched_db` is
    the SQNR (decibels) of its outputs, as inner tensors were read, against those without: `inf`
    where reading them changed no bit.
    """

    version: int = 1
    artifact: str
    sha256: str
    reference: str
    images: int
    precision: Precision
    runtime: str
    simulated: str = ""
    simulator: str = ""
    untouched_db: float | None = None
    matched_products: str
    unmatched: tuple[str, ...]
    missing_additions: tuple[str, ...]
    first_bad: str | None
    bad: tuple[str, ...]
    worst: tuple[str, ...]
    layers: tuple[LayerRow, ...]
    repro: Reproduction | None = None


class OutputComparison(Document):
    """Outputs of two models on the same images; `sqnr_db` (decibels) is the lowest of all."""

    runtime: str
    images: int
    sqnr_db: float
    agreement: dict[str, OutputAgreement]


class TaskComparison(OutputComparison):
    """Outputs, decisions and task metrics of two models on the same images.

    `equal_decisions` has the share of images, by head; `metrics` each task metric by its name.
    """

    equal_decisions: dict[str, float]
    metrics: dict[str, MetricChange]


class FileComparison(OutputComparison, Evidence):
    """Two files of one network, on made-up images: `split` is the name of the reference.

    `floor_db` is the SQNR, in decibels, that `sqnr_db` must reach.
    """

    precision: Precision
    floor_db: float
    layers: LayerReport | None = None
    missed_gates: tuple[str, ...] | None = None


class Verification(TaskComparison, Evidence):
    """An artifact beside the model that it was made from, on every image of a split.

    Attributes:
        pixels_sha256: Of the pixels that both were given.
        reference_sha256: Of the reference's weights or file.
        precision: Of the artifact.
        floor_db: SQNR in decibels that `sqnr_db` must reach; see `floors.py`.
        rounding_db: SQNR in decibels of the float32 network against float64, from which the
            floor of a float file follows; null where it is unknown or plays no part.
        cause: The known mistake that explains what disagrees; null where there is none.
        disagrees: What the file says of itself that is not so of its reference.
        faults: Why the artifact is not that of this reference, a line each.
        layers: The comparison by layer, where one was asked for.
        subgroups: The metrics by group, by what the images were to be grouped by.
        missed_gates: The lines that made a command fail; in a command's answer alone.
    """

    pixels_sha256: str
    reference_sha256: str
    precision: Precision
    floor_db: float
    rounding_db: float | None
    cause: Explanation | None
    disagrees: tuple[str, ...]
    faults: tuple[str, ...]
    layers: LayerReport | None = None
    subgroups: dict[str, Subgroups] | None = None
    missed_gates: tuple[str, ...] | None = None


class DriftStage(Document):
    """One thing switched: `stage` says what, `what` to what.

    `sqnr_db` is the lowest of all outputs, in decibels, against the stage before; the first
    has none. Of a stage elsewhere, it is against the last one here.
    """

    stage: str
    what: str
    sqnr_db: float | None = None


class DriftStep(Document):
    """A task metric at a stage: its `value`, and the paired `change` from the stage before.

    Of a stage elsewhere, `change` is from the last one here and `total` from the first.
    """

    stage: str
    what: str
    value: float
    change: Estimate
    total: Estimate | None = None


class MetricDrift(MetricKind):
    """One task metric from the trained model, `start`, to the device, `end`, in `unit`.

    The changes of `steps` add up to `total`; `elsewhere` starts from `end`.
    """

    start: float
    end: float
    steps: tuple[DriftStep, ...]
    total: Estimate
    elsewhere: tuple[DriftStep, ...]


class Drift(Document):
    """The stages from the trained model to the device, and each task metric along them."""

    stages: tuple[DriftStage, ...]
    elsewhere: tuple[DriftStage, ...]
    metrics: dict[str, MetricDrift]


class DriftReport(Drift, Evidence):
    """The drift of an artifact on a split: `images` of them, named by the hash of their pixels.

    `subgroups` has the whole change, trained model to device, by group, where groups were asked
    for; `missed_gates` the lines that made a command fail, in a command's answer alone.
    """

    images: int
    pixels_sha256: str
    reference_sha256: str
    subgroups: dict[str, Subgroups] | None = None
    missed_gates: tuple[str, ...] | None = None
