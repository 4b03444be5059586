"""How a program is trained: every number in one place, read from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from edgeskin.training.recipe import QAT, Training


class QatRecipe(Training):
    """Settings of quantization-aware training: a short, slow continuation of the float one.

    `ranges`: `learned` trains every scale, `range_rate` being the learning rate of
    their logarithms; `moving` averages the extremes of the batches. After
    `freeze_share` of the steps the ranges stay as they are. `distill` is the weight
    of the float network's answers, softened by `temperature`, against the labels.
    """

    epochs: int = Field(default=2, ge=1)
    batch_size: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=3e-6, gt=0, le=10)
    weight_decay: float = Field(default=0.0, ge=0)
    average_decay: float = Field(default=0.95, ge=0, lt=1)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    ranges: Literal["learned", "moving"] = "learned"
    range_rate: float = Field(default=1e-4, ge=0)
    freeze_share: float = Field(default=0.7, ge=0, le=1)
    distill: float = Field(default=1.0, ge=0, le=1)
    temperature: float = Field(default=2.0, gt=0)

    @classmethod
    def settings(cls, document: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """The table `[qat]` of a recipe that is for training too; else all of the document."""
        if QAT not in document and "task" not in document:
            return document
        table = document.get(QAT, {})
        return table if isinstance(table, dict) else {QAT: table}
