"""Test images of a demo with what two models answer, for its picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgeskin.data.manifest import Dataset
    from edgeskin.spec import Spec
    from edgeskin.walkthrough.demo_report import DemoReport

MOST_SHOWN = 7


@dataclass(frozen=True)
class Shown:
    """Some test images with the answers of two models, as `run_all` of a predictor gives them."""

    spec: Spec
    pixels: NDArray[np.uint8]  # as the models get them, (N, H, W, 3)
    truth: NDArray[Any]  # of the first head
    names: tuple[str, str]  # of the two models
    answers: tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]  # float, INT8


def ask(out: Path, test: Dataset, report: DemoReport) -> Shown:
    """Ask the float run and the smallest INT8 file that runs here."""
    from edgeskin.models.run import load_run
    from edgeskin.predictor import load

    name = next(r.file for r in report.rows if r.precision == "int8" and r.p50_ms is not None)
    spec = load_run(out / "run").spec
    truth = test.truth(spec)[spec.heads[0].name]
    chosen = choose(truth)
    pixels = test.pixels(spec.input)[chosen]
    answers = []
    for path in (out / "run", out / "artifacts" / name):
        with load(path) as predictor:
            answers.append(predictor.run_all(pixels))
    names = ("float PyTorch", name)
    return Shown(spec, pixels, truth[chosen], names, (answers[0], answers[1]))


def choose(truth: NDArray[Any]) -> list[int]:
    """Some images, of labels (N,) or (N, 2) all over their range, in order; of masks the first."""
    if truth.ndim > 2:
        return list(range(min(len(truth), MOST_SHOWN - 1)))
    values = truth.reshape(len(truth), -1).mean(axis=1)
    order = np.argsort(values, kind="stable")
    classes = np.unique(values)
    if len(classes) <= MOST_SHOWN and MOST_SHOWN // len(classes) > 0:
        each = MOST_SHOWN // len(classes)
        return [int(i) for value in classes for i in np.flatnonzero(values == value)[:each]]
    places = np.linspace(0, len(order) - 1, MOST_SHOWN).astype(int)
    return [int(i) for i in order[places]]
