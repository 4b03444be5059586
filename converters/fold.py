"""Several pixels of a row as one with more channels: the weights that compute the same sums.

Both stem rewrites make such weights, and the audit knows a program's weights in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fold:
    """How many pixels of a row become one cell, and which cells an output cell then needs.

    With n = `pixels`, a multiple of the stride s, and r = n / s (`per_cell`), output pixel
    j * r + p, 0 <= p < r, takes tap t from the input pixel

        (j * r + p) * s - pad + t  =  j * n + (p * s - pad + t)

    By divmod(p * s - pad + t, n) = (cell, pixel), that is pixel `pixel` of cell j + `cell`.
    Neither depends on j: it is a convolution over cells with a step of 1, whose weight for
    (output p, input pixel `pixel`, cell) is that of tap t, and zero where no t leads. The
    least `cell` is that of p = t = 0 (`first`), the largest that of p = r - 1 and the
    last tap (`last`).
    """

    pixels: int
    stride: int
    pad: int
    taps: int

    @property
    def per_cell(self) -> int:
        return self.pixels // self.stride

    @property
    def first(self) -> int:
        return -self.pad // self.pixels

    @property
    def last(self) -> int:
        return ((self.per_cell - 1) * self.stride - self.pad + self.taps - 1) // self.pixels

    def weights(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Weights (M, C, h, taps) as (per_cell * M, pixels * C, h, cells), zeros between.

        Channel p * M + m of an output cell is channel m of its pixel p; input channels likewise.
        """
        out, channels, height, _ = weight.shape
        shape = (self.per_cell, out, self.pixels, channels, height, self.last - self.first + 1)
        wide = np.zeros(shape, weight.dtype)
        for p in range(self.per_cell):
            for tap in range(self.taps):
                cell, pixel = divmod(p * self.stride - self.pad + tap, self.pixels)
                wide[p, :, pixel, :, :, cell - self.first] = weight[:, :, :, tap]
        return wide.reshape(self.per_cell * out, self.pixels * channels, height, -1)
