"""Accuracy control: the fewest parts in float that keep a program near its float network.

Parts are ranked by the SQNR that each gives back (`sensitivity`), which every image tells, on
few of them too; they are added in that order until what was asked for is met. What is asked
for is an SQNR, a metric's loss, or both. A metric of decisions moves by whole images and may
stay where it is by luck: on a few hundred images the SQNR is the steadier of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.fx import GraphModule

from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.program import Program
from edgeskin.calibration.record import AccuracyControl, PartSensitivity
from edgeskin.calibration.sensitivity import (
    Heads,
    Parts,
    Simulation,
    outputs,
    sensitivity,
    simulated,
    sqnr_db,
)
from edgeskin.errors import NotBetter
from edgeskin.evaluation import MetricChange, Truth, compare, worst_drop, worst_mae_rise
from edgeskin.models.app_model import decode
from edgeskin.postprocess import Outputs
from edgeskin.progress import Progress
from edgeskin.spec import Spec

MOST_RANKED = 32
"""Images that parts are ranked on; what was asked for is measured on all that are held out."""
MOST_FLOAT = 0.5
"""Of the multiply-adds: with more than half of them in float, INT8 pays little."""


@dataclass(frozen=True)
class Quality:
    """How near a program is to its float network on the held-out images."""

    sqnr_db: float
    metrics: dict[str, MetricChange]

    def missed(self, options: CalibrationOptions) -> str | None:
        """The first thing asked for that it has not, or None."""
        drop, rise = worst_drop(self.metrics), worst_mae_rise(self.metrics)
        if options.min_sqnr_db is not None and not self.sqnr_db >= options.min_sqnr_db:
            return f"SQNR is {self.sqnr_db:.1f} dB, asked for are {options.min_sqnr_db:g} dB"
        if options.max_drop is not None and not drop <= options.max_drop:
            return f"a metric loses {drop:.2f} points, at most {options.max_drop:g} may go"
        if options.max_mae_rise is not None and not rise <= options.max_mae_rise:
            return f"an MAE rises by {rise:.3g}, at most by {options.max_mae_rise:g} it may"
        return None


@dataclass(frozen=True)
class HeldOut:
    """Images that nothing is calibrated on, with what the float network answers.

    Attributes:
        split: That they are of.
        truth: Labels by head, where metrics are asked for.
    """

    split: str
    spec: Spec
    truth: Truth
    reference: GraphModule
    samples: Sequence[Tensor]

    @cached_property
    def answers(self) -> Heads:
        return outputs(self.reference, self.samples)

    def quality(self, graph: GraphModule) -> Quality:
        heads, changes = outputs(graph, self.samples), {}
        if self.truth:
            before, after = self._decoded(self.answers), self._decoded(heads)
            changes = compare(self.spec, before, after, self.truth)
        return Quality(sqnr_db(self.answers, heads), changes)

    def _decoded(self, heads: Heads) -> Outputs:
        values = decode(self.spec, tuple(map(torch.from_numpy, heads)))
        names = self.spec.output_names("app")
        return {name: value.numpy() for name, value in zip(names, values, strict=True)}


def control_accuracy(
    calibrated: Callable[[Sequence[str]], Program],
    options: CalibrationOptions,
    samples: Sequence[Tensor],
    held_out: HeldOut,
    progress: Progress,
) -> Program:
    """The program with the fewest of the most sensitive parts in float that is near enough.

    Args:
        calibrated: The program with these patterns of layers in float besides `options.exclude`.
        samples: The calibration images as inputs, float32 (1, 3, H, W).

    Returns:
        A program that `calibrated` gave, so one that `--exclude` of the same parts gives too;
        `calibration.accuracy_control` has every part and what it was measured to give.

    Raises:
        NotBetter: Not with half of the multiply-adds in float.
    """
    program = calibrated(())
    before = quality = held_out.quality(simulated(program.module))
    if (missed := quality.missed(options)) is None:
        return _recorded(program, options, held_out, before, quality, (), ())
    parts, simulation = Parts(program), Simulation(program, held_out.reference, samples)
    ranked = [held_out.samples[i] for i in range(min(MOST_RANKED, len(held_out.samples)))]
    table = sensitivity(simulation, ranked, progress)
    for count in range(1, len(table) + 1):
        kept, share = table[:count], sum(row.multiply_adds for row in table[:count])
        if share > MOST_FLOAT:
            break
        patterns = [pattern for row in kept for pattern in parts.patterns(row.part)]
        progress("adding parts in float", count, len(table))
        if (missed := held_out.quality(simulation(patterns)).missed(options)) is None:
            made = calibrated(patterns)
            quality = held_out.quality(simulated(made.module))
            if (missed := quality.missed(options)) is None:
                return _recorded(made, options, held_out, before, quality, table, kept)
    raise NotBetter(
        f"{missed}, with as many of the most sensitive parts in float as hold "
        f"{MOST_FLOAT:.0%} of the multiply-adds. Nothing was written. Ask for less, use fp16, or "
        "train with quantization: edgeskin qat.",
        {"parts": [row.to_json() for row in table]},
    )


def _recorded(
    program: Program,
    options: CalibrationOptions,
    held_out: HeldOut,
    before: Quality,
    quality: Quality,
    table: Sequence[PartSensitivity],
    kept: Sequence[PartSensitivity],
) -> Program:
    """`program` with what was asked for, measured and kept in its record."""
    record = AccuracyControl(
        images=len(held_out.samples),
        split=held_out.split,
        min_sqnr_db=options.min_sqnr_db,
        max_drop=options.max_drop,
        max_mae_rise=options.max_mae_rise,
        int8_sqnr_db=before.sqnr_db,
        sqnr_db=quality.sqnr_db,
        metrics=quality.metrics,
        parts=tuple(row.model_copy(update={"kept": row in kept}) for row in table),
    )
    calibration = program.calibration.model_copy(update={"accuracy_control": record})
    return replace(program, calibration=calibration)
