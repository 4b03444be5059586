"""Test images of a demo with what two models answer, for its picture."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Ask the float run and an INT8 file that runs here; keep the images that INT8 moved most."""
    from edgeskin.models.run import load_run
    from edgeskin.predictor import load

    name = next(r.file for r in report.rows if r.precision == "int8" and r.p50_ms is not None)
    spec = load_run(out / "run").spec
    truth = test.truth(spec)[spec.heads[0].name]
    pixels = test.pixels(spec.input)
    answers = []
    for path in (out / "run", out / "artifacts" / name):
        with load(path) as predictor:
            answers.append(predictor.run_all(pixels))
    chosen = choose(truth, moved(*answers))
    before, after = ({key: a[chosen] for key, a in answer.items()} for answer in answers)
    return Shown(spec, pixels[chosen], truth[chosen], ("float PyTorch", name), (before, after))


def moved(before: Mapping[str, NDArray[Any]], after: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Mean absolute difference of all outputs of each image, (N,)."""
    differences = [np.abs(before[name] - after[name]) for name in before]
    return np.sum([d.reshape(len(d), -1).mean(axis=1) for d in differences], axis=0)


def choose(truth: NDArray[Any], moves: NDArray[Any]) -> list[int]:
    """Images that moved most: of all, or of each class or of each stretch of labels.

    Args:
        truth: Classes or values (N,), intervals (N, 2), or masks (N, H, W).
        moves: How far the answers for each moved, (N,).
    """
    by_move = np.argsort(-moves, kind="stable")
    if truth.ndim > 2:
        return sorted(int(i) for i in by_move[: MOST_SHOWN - 1])
    values = truth.reshape(len(truth), -1).mean(axis=1)
    classes = np.unique(values)
    if len(classes) <= MOST_SHOWN:
        groups, each = [values == value for value in classes], MOST_SHOWN // len(classes)
    else:
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        groups, each = [ranks * MOST_SHOWN // len(values) == k for k in range(MOST_SHOWN)], 1
    return [int(i) for inside in groups for i in by_move[inside[by_move]][:each]]
