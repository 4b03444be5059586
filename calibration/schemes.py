"""Quantization schemes and calibration methods, as tables one can read; no torch here."""

from __future__ import annotations

from dataclasses import dataclass

from edgeskin.errors import UnknownName


@dataclass(frozen=True)
class IntegerRange:
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
    """The integers that a program's tensors become; with `activations` None those stay float."""

    name: str
    activations: IntegerRange | None
    weights: IntegerRange
    note: str

    @property
    def is_for_speed(self) -> bool:
        """Whether it multiplies int8 by int8; the others are for size or accuracy."""
        return self.activations is not None and self.activations.high <= 127


_WEIGHTS = IntegerRange(-127, 127, symmetric=True, per_channel=True)

SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            "w8a8",
            activations=IntegerRange(-128, 127, symmetric=False, per_channel=False),
            weights=_WEIGHTS,
            note="int8 weights per output channel, affine int8 activations per tensor",
        ),
        Scheme(
            "w8a8_symmetric",
            activations=IntegerRange(-127, 127, symmetric=True, per_channel=False),
            weights=_WEIGHTS,
            note="as w8a8 with zero point 0 throughout, which TensorRT asks for",
        ),
        Scheme(
            "w8a16",
            activations=IntegerRange(-32767, 32767, symmetric=True, per_channel=False),
            weights=_WEIGHTS,
            note="int8 weights, int16 activations with zero point 0: for accuracy, not for speed",
        ),
        Scheme(
            "w8",
            activations=None,
            weights=_WEIGHTS,
            note="int8 weights, float arithmetic: a quarter of the size, no faster",
        ),
    )
}

LEAST_IMAGES = 2
"""One for each of the two halves whose scales are compared. 256 are usual."""

# How ranges of activations are found; `bias.correct_biases` follows in any case.
METHODS = {
    "mse": "the range with the least squared error of quantization",
    "percentile": "without the outermost 0.01 % of the values at either end",
    "minmax": "from the smallest to the largest value seen",
    "nncf": "NNCF: ranges from histograms, then its fast bias correction",
}


def find_scheme(name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        UnknownName: No such scheme.
    """
    if name == "fp16":
        raise UnknownName(
            "fp16 has no scales to calibrate; convert the run itself: "
            "edgeskin convert RUN --precision fp16"
        )
    if name not in SCHEMES:
        raise UnknownName(f"no scheme '{name}'; there are {', '.join(SCHEMES)}")
    return SCHEMES[name]


def check_method(name: str, scheme: Scheme) -> None:
    """Refuse a calibration method that does not exist or cannot do the scheme.

    Raises:
        UnknownName: No such method, or one that cannot do the scheme.
    """
    if name not in METHODS:
        raise UnknownName(f"no calibration method '{name}'; there are {', '.join(METHODS)}")
    if name == "nncf" and scheme.activations is not None and scheme.activations.high > 127:
        raise UnknownName(
            f"method 'nncf' finds ranges for 8 bits, {scheme.name} has 16. Choose another --method."
        )
