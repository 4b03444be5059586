"""What a release may cost: the limits of `edgeskin.toml`, for every device or for some.

[budget]
max_drop = 0.5
max_size_mb = 10

[budget.devices."adb:*"]
max_latency_ms = 40

[budget.max_mae_rise]
count_mae = 0.2
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, ValidationError

from edgeskin.document import Document
from edgeskin.errors import InvalidSpec

FILE = "edgeskin.toml"
"""Where limits are looked for if no file is named: in the working folder."""


_TAGS = ("(one number)", "(by metric)")
"""Pydantic's names of what a limit may be; no metric is called so."""
_AtLeastZero = Annotated[float, Field(ge=0)]
Rise = Annotated[
    Annotated[_AtLeastZero, Tag(_TAGS[0])]
    | Annotated[dict[str, _AtLeastZero], Field(min_length=1), Tag(_TAGS[1])],
    Discriminator(lambda value: _TAGS[isinstance(value, dict)]),
]
"""One number for every error, or one by metric."""


class Limits(Document):
    """What nobody limits is None.

    Attributes:
        max_latency_ms: The 90th percentile of whole queries, from the image to the answer.
        max_drop: What a metric that is a ratio may lose against the float model, in points.
        max_mae_rise: What an error may grow against the float model, in the metric's unit: one
            number for all errors, or a number for each that is named.
        max_size_mb: Of the file, in 10^6 bytes.
        max_memory_mb: The highest peak of the process, in 10^6 bytes.
        max_group_gap: What the gap between the best and the worst group may grow, in points.
    """

    max_latency_ms: float | None = Field(default=None, gt=0)
    max_drop: float | None = Field(default=None, ge=0)
    max_mae_rise: Rise | None = None
    max_size_mb: float | None = Field(default=None, gt=0)
    max_memory_mb: float | None = Field(default=None, gt=0)
    max_group_gap: float | None = Field(default=None, ge=0)

    def allowed_loss(self, metric: str, *, ratio: bool) -> float | None:
        """What a metric may lose: points of a ratio, else its unit; None where nothing says."""
        if ratio:
            return self.max_drop
        rise = self.max_mae_rise
        return rise.get(metric) if isinstance(rise, dict) else rise

    def over(self, others: Limits) -> Limits:
        """These, and the others' where these say nothing."""
        return Limits(**(others.to_json() | self.to_json()))


class Budget(Limits):
    """Limits for every device, and for those whose name fits a pattern ("adb:*").

    Attributes:
        source: Where the limits are from, for a person.
        devices: By pattern (`fnmatch`); where several fit, a later one wins.
    """

    source: str
    devices: dict[str, Limits] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """The limits of a file; without one those of `FILE` if it is there, else `DEFAULT`.

        Raises:
            InvalidSpec: The file is missing, no TOML, or has an unknown or impossible limit.
        """
        if path is None:
            path = Path(FILE)
            if not path.is_file():
                return cls.model_validate(DEFAULT.to_json())
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidSpec(f"the budget {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise InvalidSpec(f"the budget {path} is not TOML: {error}") from error
        if not isinstance(limits := document.get("budget"), dict) or not limits:
            raise InvalidSpec(f"{path} has no table [budget] with limits, as max_drop = 0.5")
        try:
            if "source" in limits:
                raise InvalidSpec(f"{path}: budget.source: no limit is called so")
            return cls.model_validate({"source": path.name} | limits)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"] if part not in _TAGS)
            raise InvalidSpec(f"{path}: budget.{place}: {first['msg']}") from error

    def on(self, device: str) -> Limits:
        """What holds on a device, by its name as in "adb:SERIAL"."""
        limits = Limits(**self.model_dump(exclude={"source", "devices"}))
        for pattern, own in self.devices.items():
            if fnmatchcase(device, pattern):
                limits = own.over(limits)
        return limits


DEFAULT = Budget(source=f"the default, max_drop = 1, as there is no {FILE}", max_drop=1.0)
"""For want of a file: what a metric may lose, and no limit on speed and size."""

NO_LIMITS = Budget(source="no limits")
"""Where figures are kept or compared, and nothing is held against them."""
