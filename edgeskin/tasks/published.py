"""Figures that others published, to stand beside ours; never the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """What the authors of a system reported of one network.

    Attributes:
        metrics: By name; ratios from 0 to 1, other units in the name.
        data: What they measured on.
    """

    network: str
    metrics: Mapping[str, float]
    data: str
