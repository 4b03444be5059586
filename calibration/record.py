"""What a program's calibration and training were: kept in the program, shown by `--json`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field

from edgeskin.calibration.qat_recipe import QatRecipe
from edgeskin.conversion import Trained
from edgeskin.document import Document, PartialDocument
from edgeskin.figures import MetricChange

COLOURLESS = "no colour"


@dataclass(frozen=True)
class Score:
    """What a candidate is worth on held-out images: its metric and its loss.

    The loss decides. It is what training lowers, labels and float network weighed
    as there, and on a hundred images steadier than a count of hits.
    """

    metric: float
    loss: float

    def beats(self, other: Score) -> bool:
        return math.isfinite(self.loss) and not other.loss <= self.loss

    def __str__(self) -> str:
        return f"{self.loss:.3g} (metric {self.metric:.4f})"


class QatRecord(Document):
    """What quantization-aware training was and gave.

    `start` is the calibrated program's score, `epochs` that of each epoch, on `held_out_images`
    of the split `held_out_of`; `best_epoch` counts from 1. `metric` names the scores' metric.
    """

    start_method: str
    recipe: QatRecipe
    train_images: int
    held_out_images: int
    held_out_of: str
    metric: str
    start: Score
    epochs: tuple[Score, ...]
    best_epoch: int


@dataclass(frozen=True)
class Coverage:
    """Images by class and tone: among the calibration images, and in the train split.

    Of a large train split, tones are those of 1024 images drawn from it.
    """

    classes: dict[str, dict[str, int]]
    train_classes: dict[str, dict[str, int]]
    tones: dict[str, int]
    train_tones: dict[str, int]

    def warnings(self) -> list[str]:
        """A line for each kind of class, and for tones, that has no calibration image."""
        lines = []
        for head, counts in self.train_classes.items():
            lines += _line(head, self.classes[head], counts)
        colours = {name: n for name, n in self.train_tones.items() if name != COLOURLESS}
        return lines + _line("skin tone", self.tones, colours)


class RunIdentity(Document):
    """The run that was calibrated, and the SHA-256 of its weights."""

    name: str
    sha256: str


class PartSensitivity(Document):
    """A part of a network, how much INT8 hurts it, and what it would cost in float.

    Attributes:
        part: The module path that its layers' paths begin with.
        alone_db: The SQNR of the outputs if it alone computes in integers; low is sensitive.
        multiply_adds: Its share of those of all layers.
        weights: Its share of the weights that are integers.
        kept: Whether the program has it in float.
    """

    part: str
    alone_db: float
    multiply_adds: float
    weights: float
    kept: bool = False


class AccuracyControl(Document):
    """Which parts a program has in float so that it is near enough to its float network, and why.

    `min_sqnr_db`, `max_drop` (points) and `max_mae_rise` are what was asked for. SQNRs are of the
    worst raw head, on `images` of the split `split` that nothing was calibrated on, with all
    parts in integers (`int8_sqnr_db`) and of the program; `metrics` are of the program. `parts`
    are in the order of their sensitivity; none where the program was near enough without.
    """

    images: int
    split: str
    min_sqnr_db: float | None = None
    max_drop: float | None = None
    max_mae_rise: float | None = None
    int8_sqnr_db: float
    sqnr_db: float
    metrics: dict[str, MetricChange]
    parts: tuple[PartSensitivity, ...]

    @property
    def kept(self) -> tuple[PartSensitivity, ...]:
        """The parts in float."""
        return tuple(part for part in self.parts if part.kept)


class CalibrationRecord(PartialDocument):
    """How the scales of a program were found; empty for a program of another origin.

    Attributes:
        method: "mse", "percentile", "minmax", "nncf", or "qat" where they were trained since.
        images: How many calibration images there were.
        sha256: Of each one's preprocessed pixels: enough to find a test image among them.
        tools: Versions by package.
        exclude: Patterns of module paths that were left in float, those of `accuracy_control` too.
        float_operators: What else a runtime computes in float, with its counts.
        half_ratios: By layer, how much larger one half of the images makes the scale than the
            other half, 0.2 being 20 %.
        warnings: What a person should know, a line each.
        data_rule: How the images came into splits, where the data do not say; what was left out.
        trained: What the training of the run gave.
    """

    method: str = ""
    images: int = 0
    sha256: tuple[str, ...] = ()
    tools: dict[str, str] = Field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    float_operators: dict[str, int] = Field(default_factory=dict)
    half_ratios: dict[str, float] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    coverage: Coverage | None = None
    data_rule: str | None = None
    run: RunIdentity | None = None
    trained: Trained | None = None
    qat: QatRecord | None = None
    accuracy_control: AccuracyControl | None = None


def _line(what: str, shown: dict[str, int], train: dict[str, int]) -> list[str]:
    absent = [f"{name} ({n} in train)" for name, n in train.items() if not shown.get(name)]
    if not absent:
        return []
    named = ", ".join(absent)
    return [f"no calibration image of {what} {named}. Raise --samples, or add train images."]
