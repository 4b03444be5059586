"""Golden vectors as files beside a bundle's tests; what is small stands in the tests themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeskin.bundles.bundle_plan import Files, Plan
from edgeskin.bundles.golden_vectors import GoldenCase, StageRun


def golden_files(plan: Plan, folder: str) -> Files:
    """All vectors, in `FOLDER/MODEL/`; numbers are little-endian, rows side by side.

    Of each case, called `CASE` here: `CASE.rgb`, the stored pixels, uint8 (H, W, 3); of the first
    of two stages `CASE.first.input`, uint8 (h, w, 3), and `CASE.first.OUTPUT.f32`; of each run I
    of the last stage (0, 1, ... of crops) `CASE.I.input` and `CASE.I.OUTPUT.f32`; and
    `CASE.OUTPUT.f32`, the outputs that the answer is read from.
    """
    files: Files = {}
    for model in plan.models:
        for case in plan.golden[model.name]:
            place = f"{folder}/{model.snake}/{case.name}"
            files |= {f"{place}.{name}": data for name, data in _files(case)}
    return files


def _files(case: GoldenCase) -> Iterator[tuple[str, bytes]]:
    yield "rgb", case.pixels.tobytes()
    if case.first is not None:
        yield from _run("first", case.first)
    for i, run in enumerate(case.runs):
        yield from _run(str(i), run)
    for name, values in case.answers.items():
        yield f"{name}.f32", values.astype("<f4").tobytes()


def _run(name: str, run: StageRun) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.input", run.pixels.tobytes()
    for output, values in run.outputs.items():
        yield f"{name}.{output}.f32", np.asarray(values).astype("<f4").tobytes()
