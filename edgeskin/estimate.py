"""A value that was measured, and how sure it is; no numpy, so that documents stay light."""

from __future__ import annotations

from edgeskin.document import Document


class Estimate(Document):
    """A value with its 95 % interval, `low` to `high`, all in the unit of the value."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"
