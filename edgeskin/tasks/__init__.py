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


class Objective(Protocol):
    """What quantization-aware training asks of a task."""

    TRAINS_ON: tuple[str, ...]
    """The heads whose labels the loss needs."""
    METRIC: str
    """How the metric ends that decides between models: `accuracy`, `balanced_accuracy`; the
    first that there is if it is empty."""
    RECIPE: Mapping[str, Any]
    """Where training on the task differs from `Training`'s defaults."""

    def loss(
        self, spec: Spec, raw: tuple[Tensor, ...], truth: Mapping[str, Tensor], **options: Any
    ) -> Tensor: ...


class TaskModule(Objective, Protocol):
    """What a module in `edgeskin.tasks` provides: the objective, and what a new network has."""

    INTENDED_USE: str
    LIMITS: str

    def heads(self, **options: str) -> tuple[Head, ...]: ...


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
            "acne_presence",
            "edgeskin.tasks.acne_presence",
            "acne or none, from a high-resolution photo; skin alone in the pipeline of this name",
        ),
        Task(
            "face_skin",
            "edgeskin.tasks.face_skin",
            "mask of the facial skin that may carry acne",
        ),
        Task(
            "lesion_classification",
            "edgeskin.tasks.lesion_classification",
            "one of the seven classes of HAM10000, from a dermatoscopic image",
        ),
        Task(
            "melanoma",
            "edgeskin.tasks.melanoma",
            "melanoma or not, from a dermatoscopic image",
        ),
        Task(
            "perceived_age",
            "edgeskin.tasks.perceived_age",
            "perceived age of a face, a distribution in years; labels exact or intervals",
        ),
        Task(
            "skin_lesions",
            "edgeskin.tasks.skin_lesions",
            "masks of skin and lesions in an ordinary photo, for the crop rule",
        ),
        Task(
            "ultrasound_grading",
            "edgeskin.tasks.ultrasound_grading",
            "grade of an ultrasound image, by the classes of breast ultrasound, a stand-in",
        ),
    )
}


def find_task(name: str) -> Task:
    if name not in TASKS:
        raise UnknownName(f"no task '{name}'; there are {', '.join(sorted(TASKS))}")
    return TASKS[name]


def objective_of(spec: Spec) -> Objective:
    """The task that a network is of, if it has the task's heads; else `any_heads`."""
    if spec.task in TASKS:
        task = TASKS[spec.task].load()
        kinds = [head.kind for head in task.heads()]
        has_labelled = {head.name for head in spec.heads}.issuperset(task.TRAINS_ON)
        if has_labelled and kinds == [head.kind for head in spec.heads]:
            return task
    fallback: Objective = importlib.import_module("edgeskin.tasks.any_heads")
    return fallback
