"""Whether two networks can join: heads, labels and kinds, before anything runs."""

from __future__ import annotations

from edgeskin.errors import InvalidSpec
from edgeskin.pipelines.pipeline_spec import CropJoin, Join, Region
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    RegressionHead,
    SegmentationHead,
    Spec,
)

AVERAGED = (ClassificationHead, DistributionHead, RegressionHead)
"""Kinds of head whose decoded values can be averaged over crops."""


def check_fit(join: Join, names: tuple[str, str], first: Spec, last: Spec | None = None) -> None:
    """Check that the first stage has the masks of a join, and the last one can follow it.

    Args:
        names: Of the stages, for messages.
        last: None where there is no last stage yet.

    Raises:
        InvalidSpec: A head or label is missing or of the wrong kind; or crops are to be
            averaged by a head that cannot be.
    """
    try:
        regions = [join.skin, join.lesion] if isinstance(join, CropJoin) else [join.keep]
        for region in regions:
            find_head(region, first)
    except InvalidSpec as error:
        raise InvalidSpec(f"the first stage, '{names[0]}', {error}") from error
    for head in last.heads if last else ():
        if isinstance(join, CropJoin) and not isinstance(head, AVERAGED):
            raise InvalidSpec(
                f"the last stage, '{names[1]}', has the {head.kind} head '{head.name}', which "
                "cannot be averaged over crops: classifications, distributions and regressions can"
            )


def find_head(region: Region, spec: Spec) -> SegmentationHead:
    """The head of the first stage that a region is drawn from.

    Raises:
        InvalidSpec: There is none, or several and none is named, or it cannot give the labels.
    """
    head = _head_named(region, spec)
    if head.activation != "softmax" or len(head.labels) < 2:
        raise InvalidSpec(
            f"has the head '{head.name}' with {len(head.labels)} labels and {head.activation}: a "
            "mask is drawn from a softmax of at least 2 labels, one of them for all else"
        )
    unknown = [label for label in region.labels if label not in head.labels]
    if unknown:
        raise InvalidSpec(
            f"has no label '{unknown[0]}' in its head '{head.name}'; it has "
            f"{', '.join(head.labels)}. Change the labels of the join"
        )
    return head


def _head_named(region: Region, spec: Spec) -> SegmentationHead:
    masks = [head for head in spec.heads if isinstance(head, SegmentationHead)]
    named = [head for head in masks if region.head in ("", head.name)]
    if len(named) == 1:
        return named[0]
    heads = ", ".join(f"{head.name} ({head.kind})" for head in spec.heads)
    if named:
        raise InvalidSpec(f"has several segmentation heads: {heads}. Name one in the join")
    which = f"'{region.head}'" if region.head else "to take a mask from"
    raise InvalidSpec(f"has no segmentation head {which}; it has {heads}. Are the stages swapped?")
