"""How a run is calibrated: the choices, with their defaults; no torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SchemeName = Literal["w8a8", "w8a8_symmetric", "w8a16", "w8"]
Method = Literal["mse", "percentile", "minmax", "nncf"]


@dataclass(frozen=True)
class CalibrationOptions:
    """How the scales of a program are found.

    Attributes:
        scheme: Which tensors are quantized, and how: see `schemes.SCHEMES`.
        method: How ranges of activations are found: see `schemes.METHODS`.
        samples: Images to use, drawn from the train split with a fixed seed.
        exclude: Patterns of module paths, as `blocks.0.*`, of layers to leave in float.
        min_sqnr_db: Leave the most sensitive parts in float until the raw heads have so many
            decibels on held-out images: see `accuracy_control`.
        max_drop: The same until no ratio metric loses more on the val split, in points.
        max_mae_rise: The same until no MAE rises by more there, in its unit.
    """

    scheme: SchemeName = "w8a8"
    method: Method = "mse"
    samples: int = 256
    exclude: Sequence[str] = ()
    min_sqnr_db: float | None = None
    max_drop: float | None = None
    max_mae_rise: float | None = None

    @property
    def limits_metrics(self) -> bool:
        return (self.max_drop, self.max_mae_rise) != (None, None)

    @property
    def controls_accuracy(self) -> bool:
        """Whether parts are left in float by what they are measured to give."""
        return self.min_sqnr_db is not None or self.limits_metrics
