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
    """

    scheme: SchemeName = "w8a8"
    method: Method = "mse"
    samples: int = 256
    exclude: Sequence[str] = ()
