"""The skin-analysis systems, as a table; a task's module needs torch for its loss."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgeskin.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from edgeskin.spec import Head, Spec


class TaskModule(Protocol):
    """What a module in `edgeskin.tasks` provides."""

    INTENDED_USE: str
    LIMITS: str
    TRAINS_ON: tuple[str, ...]
    """The heads whose labels the loss needs."""
    METRIC: str
    """How the metric ends that decides between models: `accuracy`, `balanced_accuracy`."""
    RECIPE: Mapping[str, Any]
    """Where training on the task differs from `Training`'s defaults."""

    def heads(self, **options: str) -> tuple[Head, ...]: ...

    def loss(
        self, spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor], **options: float
    ) -> Tensor: ...


@dataclass(frozen=True)
class Task:
    """One system: its name, its module, and one line about it."""

    name: str
    module: str
    summary: str

    def load(self) -> TaskModule:
        return importlib.import_module(self.module)


TASKS = {
    task.name: task
    for task in (
        Task(
            "acne",
            "edgeskin.tasks.acne",
            "severity (Hayashi, 4 grades) and lesion count of a face photo",
        ),
        Task(
            "lesion_classification",
            "edgeskin.tasks.lesion_classification",
            "one of the seven classes of HAM10000, from a dermatoscopic image",
        ),
    )
}


def find_task(name: str) -> Task:
    if name not in TASKS:
        raise UnknownName(f"no task '{name}'; there are {', '.join(sorted(TASKS))}")
    return TASKS[name]
