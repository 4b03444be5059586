"""What two results computed of the same images, and what that changes in the task's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.benchmarks.accuracy import paired_test
from edgeskin.benchmarks.pipeline_pack import PipelinePack, read_any_pack
from edgeskin.benchmarks.report.answers import has_outputs, outputs_of
from edgeskin.benchmarks.report.collect import Found
from edgeskin.errors import InvalidResult
from edgeskin.evaluation import MetricChange, PairedTest, measures, predicted_values
from edgeskin.metrics import equal_ratio
from edgeskin.postprocess import Outputs, rows_of
from edgeskin.spec import Spec
from edgeskin.statistics import swap_p
from edgeskin.subgroups import Grouping, Subgroups, by_groupings, part_of

RANDOMIZED = "paired randomization"
SUMS_TO_ONE = 0.01
"""How far from one the probabilities of a class may sum to, as INT8 files give them."""


@dataclass(frozen=True, eq=False)
class PairedOutputs:
    """The decoded outputs of two results, on the images that both answer.

    Attributes:
        images: Which of the pack's images, by index, (N,).
        old, new: Outputs of these, N rows each.
    """

    images: NDArray[np.intp]
    old: Outputs
    new: Outputs

    @property
    def equal(self) -> bool:
        """Whether all outputs are the same to the bit."""
        return all(np.array_equal(old, self.new[name]) for name, old in self.old.items())

    def equal_decisions(self, heads: Sequence[str]) -> dict[str, float]:
        """The share of images, or of pixels, that both decide alike, without knowing the spec.

        An output whose values sum to one is decided by its largest, another by each value at 0.5.
        Heads without an output of their name (a grade of a quantity) are left out.
        """
        return {
            head: equal_ratio(*_decided(self.old[head], self.new[head]))
            for head in heads
            if head in self.old and self.old[head].shape[-1] > 1
        }


def paired_outputs(old: Found, new: Found) -> PairedOutputs | None:
    """The outputs of two results of one pack; None where those of one are not there.

    Raises:
        InvalidResult: Outputs that are damaged, or of other images or heads than each other's.
    """
    if not (has_outputs(old) and has_outputs(new)):
        return None
    (rows, before), (others, after) = outputs_of(old), outputs_of(new)
    if {n: v.shape[1:] for n, v in before.items()} != {n: v.shape[1:] for n, v in after.items()}:
        raise InvalidResult(
            f"{old.path} and {new.path} have outputs of other names or shapes: they are not of "
            "one model"
        )
    images, ours, theirs = np.intersect1d(rows, others, return_indices=True)
    return PairedOutputs(images, rows_of(before, ours), rows_of(after, theirs))


def _decided(old: NDArray[Any], new: NDArray[Any]) -> list[NDArray[Any]]:
    sums = [float(np.abs(values.sum(axis=-1) - 1).max(initial=0)) for values in (old, new)]
    if max(sums) < SUMS_TO_ONE:
        return [values.argmax(axis=-1) for values in (old, new)]
    return [values >= 0.5 for values in (old, new)]


@dataclass(frozen=True, eq=False)
class Truths:
    """What a pack knows of its images: `rows` are those images, by index, that it has rows for."""

    sha256: str
    spec: Spec
    truth: dict[str, NDArray[Any]]
    groups: dict[str, Grouping]

    def of(self, images: NDArray[np.intp]) -> Truths:
        """Of some of the images."""
        return Truths(
            self.sha256, self.spec, rows_of(self.truth, images), part_of(self.groups, images)
        )


def read_truths(folder: Path) -> Truths:
    """The labels and groups of a pack; of a pipeline's those of the end.

    Raises:
        InvalidPack: It is none, or damaged.
    """
    pack = read_any_pack(folder)
    if isinstance(pack, PipelinePack):
        return Truths(pack.end_sha256, pack.last, pack.end_truth, pack.groups)
    return Truths(pack.sha256, pack.spec, pack.truth, pack.groups)


def metric_changes(outputs: PairedOutputs, truths: Truths) -> dict[str, MetricChange]:
    """Each metric of old and new on the same images, with a paired test.

    McNemar's or Wilcoxon's where one fits, as `bench` takes them; else `swap_p`.

    Raises:
        InvalidResult: The outputs are not those of the pack's model.
    """
    known = truths.of(outputs.images)
    if missing := set(known.spec.output_names("app")) - set(outputs.old):
        raise InvalidResult(f"the results have no output '{min(missing)}', which their pack names")
    before, after = (predicted_values(known.spec, o) for o in (outputs.old, outputs.new))
    changes = {}
    for m in measures(known.spec, known.truth):
        old, new = m.predicted_by(before), m.predicted_by(after)
        test = paired_test(m, old, new) or PairedTest(
            name=RANDOMIZED, p=swap_p(m.metric, m.truth, old, new)
        )
        changes[m.name] = m.change(old, new).model_copy(update={"test": test})
    return changes


def group_changes(outputs: PairedOutputs, truths: Truths) -> dict[str, Subgroups]:
    """The metrics by group, and how the gaps between groups grew from old to new."""
    known = truths.of(outputs.images)
    return by_groupings(known.spec, outputs.old, outputs.new, known.truth, known.groups)
