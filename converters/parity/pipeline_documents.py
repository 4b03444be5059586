"""The documents of parity of pipelines: at the end, and by stage."""

from __future__ import annotations

from edgeskin.converters.parity.documents import DriftReport, Verification
from edgeskin.subgroups import Subgroups

Statuses = dict[str, dict[str, int]]
"""Images by status ("answered", "no skin found"), of each pipeline that was compared."""


class PipelineVerification(Verification):
    """A pipeline of artifacts beside its float reference, both from the same images on.

    What a `Verification` has is of the end: answers of images that both pipelines answer,
    `images` of `looked_at`; each pipeline's last stage saw what its own first stage left.
    Where no image is answered by both, `sqnr_db` is NaN, and there is nothing to compare.

    Attributes:
        precision: The coarsest of the stages'.
        floor_db: Minus infinity: a mask that differs by a pixel is no rounding, so that the
            stages have floors, and the end has the gate that one asks for.
        stages: Each stage by itself, by name: the last one on what the reference hands over.
        statuses: Of `reference` and `artifact`.
        equal_statuses: The share of all images that both give the same status.
        answered: The share of all images that each answers, by group.
    """

    stages: dict[str, Verification]
    looked_at: int
    statuses: Statuses
    equal_statuses: float
    answered: dict[str, Subgroups] | None = None


class PipelineDrift(DriftReport):
    """The drift of a pipeline at its end, one stage converted at a time.

    On the images that are answered before and after, `images` of `looked_at`; `statuses` are of
    `trained` and `converted`, and `answered` is the share of all images that each answers, by
    group.
    """

    looked_at: int
    statuses: Statuses
    answered: dict[str, Subgroups] | None = None
