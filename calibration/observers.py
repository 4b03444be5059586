"""What calibration sees of each activation, and the ranges that follow from it.

An `ActivationObserver` sits on every tensor that is to become integers and fills
a `Histogram` for each of two halves of the images. A range method of `RANGES`
then chooses how much of the histogram the integers shall cover.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchao.quantization.pt2e.observer import ObserverBase

from edgeskin.calibration.ranges import quantize_dequantize, scale_of

# Bins on each side of zero. The range fills at least half of one side: 8 bins a step of 8 bits.
_BINS = 4096
# Of a larger tensor every k-th value goes into the histogram; its ends are those of all values.
_MOST_VALUES = 1 << 16
_PERCENTILE = 99.99
# Parts of the full range that `mse` tries, each 3 % below the one before.
_PARTS = 0.97 ** torch.arange(100, dtype=torch.float64)


class Histogram:
    """Counts of values in bins whose width is a power of two and grows when it must.

    Bin i holds the values from i * width up to (i + 1) * width, for i from
    -_BINS to _BINS - 1. As the widths are powers of two, two bins merge into
    one, and histograms of different widths add without a rest.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(2 * _BINS, dtype=torch.int64)
        self.exponent = -126  # width = 2**exponent
        self.low, self.high = torch.inf, -torch.inf

    def add(self, values: Tensor) -> None:
        """Count finite float32 `values` of any shape; NaN or infinity makes both ends infinite."""
        array = values.numpy()  # whose small steps no other thread has to wait for
        low, high = float(array.min()), float(array.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        if not (abs(low) < torch.inf and abs(high) < torch.inf):
            self.low, self.high = -torch.inf, torch.inf  # stays: min and max forget a NaN
            return
        self._widen(_exponent(max(-low, high)))
        stride = -(-array.size // _MOST_VALUES) | 1  # odd: no stride of a row of pixels
        bins = np.floor(array.reshape(-1)[::stride] * np.float32(2.0**-self.exponent))
        counts = np.bincount(bins.astype(np.int32) + _BINS, minlength=2 * _BINS)
        self.counts += torch.from_numpy(counts)

    def plus(self, other: Histogram) -> Histogram:
        """The histogram of the values of both."""
        both = Histogram()
        for each in (self, other):
            both._widen(each.exponent)
        for each in (self, other):
            both.counts += _merged(each.counts, both.exponent - each.exponent)
        both.low, both.high = min(self.low, other.low), max(self.high, other.high)
        return both

    def bins(self) -> tuple[Tensor, Tensor]:
        """Middles and counts of the bins that are not empty, float64, from low to high."""
        filled = self.counts.nonzero().flatten()
        middles = (filled.double() - _BINS + 0.5) * 2.0**self.exponent
        return middles.clamp(self.low, self.high), self.counts[filled].double()

    def _widen(self, exponent: int) -> None:
        if exponent > self.exponent:
            self.counts = _merged(self.counts, exponent - self.exponent)
            self.exponent = exponent


def _exponent(reach: float) -> int:
    """The least exponent with reach < _BINS * 2**exponent."""
    return max(math.frexp(reach)[1] - _BINS.bit_length() + 1, -126)


def _merged(counts: Tensor, doublings: int) -> Tensor:
    """The same counts in bins 2**doublings times as wide."""
    old = counts.nonzero().flatten()
    merged = torch.zeros_like(counts)
    shift = min(doublings, 62)
    return merged.index_add_(0, ((old - _BINS) >> shift) + _BINS, counts[old])


class ActivationObserver(ObserverBase):
    """Passes a tensor on and counts its values; `half` says for which half of the images."""

    def __init__(
        self,
        dtype: torch.dtype,
        qscheme: torch.qscheme,
        quant_min: int,
        quant_max: int,
        method: str = "minmax",
        **_: Any,
    ):
        super().__init__(dtype)
        self.qscheme, self.quant_min, self.quant_max = qscheme, quant_min, quant_max
        self.symmetric = qscheme is torch.per_tensor_symmetric
        self.choose = RANGES[method]
        self.histograms = (Histogram(), Histogram())
        self.half = 0

    def forward(self, x: Tensor) -> Tensor:
        self.histograms[self.half].add(x.detach())
        return x

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """Scale (float64) and zero point (int64), each with one element."""
        return self._scale(self.histograms[0].plus(self.histograms[1]))

    def half_scales(self) -> tuple[float, float]:
        """The scales that either half of the images alone would give."""
        first, second = (float(self._scale(each)[0]) for each in self.histograms)
        return first, second

    def finite(self) -> bool:
        return all(abs(each.low) < torch.inf for each in self.histograms if each.counts.any())

    def _scale(self, histogram: Histogram) -> tuple[Tensor, Tensor]:
        integers: tuple[int, int, bool] = (self.quant_min, self.quant_max, self.symmetric)
        low, high = self.choose(histogram, *integers)
        return scale_of(low, high, *integers)


Range = tuple[Tensor, Tensor]


def minmax_range(histogram: Histogram, least: int, most: int, symmetric: bool) -> Range:
    """The range from the smallest to the largest value."""
    return torch.tensor(histogram.low), torch.tensor(histogram.high)


def percentile_range(histogram: Histogram, least: int, most: int, symmetric: bool) -> Range:
    """The range without the outermost values, 0.01 % of all at either end (`_PERCENTILE`)."""
    middles, counts = histogram.bins()
    share = counts.cumsum(0) / counts.sum()
    outside = 1 - _PERCENTILE / 100
    low = middles[torch.searchsorted(share, outside)]
    return low, middles[torch.searchsorted(share, 1 - outside)]


def mse_range(histogram: Histogram, least: int, most: int, symmetric: bool) -> Range:
    """The range with the least squared error of quantization, summed over the histogram.

    Rounding errors grow with the range, clipping errors fall. Either end is
    tried at 100 parts of its full value with the other held: high, low, and
    high again (a symmetric range has one end). The criterion is that of Banner
    et al., "Post training 4-bit quantization" (2019), section 3, on measured
    values instead of a Gaussian or Laplacian model of them.
    """
    middles, counts = histogram.bins()

    def best(lows: Tensor, highs: Tensor) -> int:
        scales, zeros = scale_of(lows, highs, least, most, symmetric)
        rounded = quantize_dequantize(middles, scales[:, None], zeros[:, None], least, most)
        return int((rounded.sub_(middles).square_() @ counts).argmin())

    low, high = (end.double() for end in minmax_range(histogram, least, most, symmetric))
    if symmetric:
        reach = torch.maximum(-low, high) * _PARTS
        reach = reach[best(-reach, reach)]
        return -reach, reach
    lows, highs = low.clamp(max=0.0) * _PARTS, high.clamp(min=0.0) * _PARTS
    high = highs[best(low.expand(len(highs)), highs)]
    low = lows[best(lows, high.expand(len(lows)))]
    return low, highs[best(low.expand(len(highs)), highs)]


RANGES: dict[str, Callable[[Histogram, int, int, bool], Range]] = {
    "minmax": minmax_range,
    "percentile": percentile_range,
    "mse": mse_range,
}
