"""The demos of the tasks, as a table: which phantoms, which network, how long it learns.

No task but acne has a built-in model, so that its demo trains one: some 2,500 images in all,
about a minute on two free cores, from ImageNet weights where the network has some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeskin.errors import UnknownName

BUILTIN_TASK = "acne"
"""The task of the built-in model."""


@dataclass(frozen=True)
class DemoPlan:
    """How a task is shown; images are drawn `drawn` pixels wide and seen `size` wide.

    `phantoms` is a kind of `phantom_sets`, `settings` go over the task's recipe, `shown` are the
    metrics of the table.
    """

    task: str
    phantoms: str
    shown: tuple[str, ...]
    arch: str = "efficientnet_lite0"
    train: int = 256
    val: int = 0
    test: int = 64
    drawn: int = 144
    size: int = 128
    settings: Mapping[str, Any] = field(default_factory=dict)


_MASKS: Mapping[str, Any] = {"epochs": 12, "arch_options": {"width": 64, "low_level": 24}}

PLANS = {
    plan.task: plan
    for plan in (
        DemoPlan(
            "acne_presence",
            "faces",
            ("affected_balanced_accuracy", "affected_auroc"),
            train=288,
            drawn=200,
            size=176,
            settings={"epochs": 6},
        ),
        DemoPlan(
            "face_skin",
            "faces",
            ("skin_skin_dice",),
            arch="deeplab_lite0",
            train=160,
            settings=_MASKS,
        ),
        DemoPlan(
            "lesion_classification",
            "dermoscopy",
            ("label_balanced_accuracy",),
            test=96,
            settings={"epochs": 6},
        ),
        DemoPlan(
            "melanoma",
            "melanoma",
            ("label_balanced_accuracy", "label_auroc"),
            settings={"epochs": 9},
        ),
        DemoPlan(
            "perceived_age",
            "ages",
            ("age_mae", "age_hit"),
            train=288,
            val=32,
            settings={"epochs": 9},
        ),
        DemoPlan(
            "skin_lesions",
            "longshots",
            ("regions_skin_dice", "regions_lesion_dice"),
            arch="deeplab_lite0",
            train=160,
            settings=_MASKS,
        ),
        DemoPlan(
            "ultrasound_grading",
            "ultrasound",
            ("label_balanced_accuracy",),
            arch="ultrasound_v2",
            settings={"epochs": 6, "learning_rate": 4e-4},
        ),
    )
}


def find_plan(task: str) -> DemoPlan:
    """How a task is shown, by its name.

    Raises:
        UnknownName: No such task.
    """
    if task not in PLANS:
        names = ", ".join(sorted((*PLANS, BUILTIN_TASK)))
        raise UnknownName(f"no demo of a task '{task}'; there are {names}")
    return PLANS[task]
