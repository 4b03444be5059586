"""Quantization schemes and calibration methods, as tables one can read; no torch here."""

from __future__ import annotations

from dataclasses import dataclass

from edgeskin.errors import UnknownName


@dataclass(frozen=True)
class Grid:
    """The integers a tensor may take, and how real numbers map to them.

    real = scale * (q - zero_point), low <= q <= high; `symmetric` means
    zero_point 0. `per_channel` gives each output channel its own scale.
    """

    low: int
    high: int
    symmetric: bool
    per_channel: bool


@dataclass(frozen=True)
class Scheme:
    name: str
    activations: Grid
    weights: Grid
    note: str


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            "w8a8",
            activations=Grid(-128, 127, symmetric=False, per_channel=False),
            weights=Grid(-127, 127, symmetric=True, per_channel=True),
            note="int8 weights per output channel, affine int8 activations per tensor",
        ),
    )
}

# How ranges of activations are found; `bias.correct_biases` follows in any case.
METHODS = {
    "mse": "the range with the least squared error of quantization",
    "percentile": "without the outermost 0.01 % of the values at either end",
    "minmax": "from the smallest to the largest value seen",
    "nncf": "NNCF: ranges from histograms, then its fast bias correction",
}


def find_scheme(name: str) -> Scheme:
    """
    Raises:
        UnknownName: No such scheme.
    """
    if name not in SCHEMES:
        raise UnknownName(f"no scheme '{name}'; there are {', '.join(SCHEMES)}")
    return SCHEMES[name]


def check_method(name: str) -> None:
    """
    Raises:
        UnknownName: No such method.
    """
    if name not in METHODS:
        raise UnknownName(f"no calibration method '{name}'; there are {', '.join(METHODS)}")
