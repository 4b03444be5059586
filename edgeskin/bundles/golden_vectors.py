"""Golden vectors: images, and what must come of them at every step, from the image to the answer.

The images are phantoms, drawn by arithmetic: no picture of a person is in a bundle. Pixels and
what the core makes of them must be the same bytes everywhere; what a network says may differ from
machine to machine, so that its outputs are part of the vector and are read again from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeskin.bundles.bundle_api import ModelApi, open_stage
from edgeskin.data.phantom_dermoscopy import DERMOSCOPY_SET, MELANOMA_SET
from edgeskin.data.phantom_faces import AGE_SET, FACE_SET
from edgeskin.data.phantom_files import SetKind
from edgeskin.data.phantom_longshots import LONGSHOT_SET
from edgeskin.data.phantom_ultrasound import ULTRASOUND_SET
from edgeskin.pipelines.handover import mean_by
from edgeskin.pipelines.joins import Pixels, Seen, join_image
from edgeskin.pipelines.pipeline_spec import ANSWERED
from edgeskin.postprocess import Outputs, Prediction, predict
from edgeskin.predictor import Predictor
from edgeskin.preprocess import preprocess

SIDE = 192
"""Of the phantoms, in pixels."""
DRAWN = {
    "skin_lesions": LONGSHOT_SET,
    "lesion_classification": DERMOSCOPY_SET,
    "melanoma": MELANOMA_SET,
    "perceived_age": AGE_SET,
    "ultrasound_grading": ULTRASOUND_SET,
}
"""What is drawn for a task; a face for any other."""


@dataclass(frozen=True, eq=False)
class StageRun:
    """One run of a network: what goes in, and what it says.

    Attributes:
        pixels: RGB, uint8 (height, width, 3).
        outputs: By name, float32 with N = 1.
    """

    pixels: Pixels
    outputs: Outputs


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One image, and everything on the way to its answer.

    Attributes:
        name: `upright`, `turned`, `plain`.
        pixels: As stored, RGB, uint8 (H, W, 3).
        orientation: EXIF, how the stored pixels are turned upright.
        first: Of a pipeline's first stage; None where there is one stage.
        runs: Of the last stage: one, or one a crop; none without an answer.
        status: `answered`, or why there is no answer.
        seen: What of the image the last stage sees; None where there is one stage.
        answers: Outputs of the last stage, averaged; empty without an answer.
        prediction: What `edgeskin predict` says.
    """

    name: str
    pixels: Pixels
    orientation: int
    first: StageRun | None
    runs: tuple[StageRun, ...]
    status: str
    seen: Seen | None
    answers: Mapping[str, NDArray[np.float32]]
    prediction: Prediction


def golden_cases(model: ModelApi) -> tuple[GoldenCase, ...]:
    """The vectors of a model, made on this machine's runtime.

    Raises:
        MissingPackage: The runtime of its format is not installed.
    """
    kind = DRAWN.get(model.stages[0].spec.task, FACE_SET)
    upright, other = (_drawn(kind, seed) for seed in (1, 2))
    images = [
        ("upright", upright[: SIDE * 3 // 4], 1),
        ("turned", np.rot90(other[:, : SIDE * 3 // 4]), 6),
    ]
    if model.join is not None:  # what holds no skin
        images.append(("plain", np.full((SIDE // 2, SIDE // 2, 3), (40, 90, 160), np.uint8), 1))
    with ExitStack() as opened:
        stages = [opened.enter_context(open_stage(stage)) for stage in model.stages]
        return tuple(
            _case(model, stages, name, np.ascontiguousarray(pixels), orientation)
            for name, pixels, orientation in images
        )


def _drawn(kind: SetKind, seed: int) -> Pixels:
    image = kind.draw(seed, SIDE).image
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _case(
    model: ModelApi, stages: Sequence[Predictor], name: str, stored: Pixels, orientation: int
) -> GoldenCase:
    image = stored if orientation == 1 else np.ascontiguousarray(np.rot90(stored, -1))
    first, status, seen = None, ANSWERED, None
    pictures: tuple[Pixels, ...] = (image,)
    if model.join is not None:
        first = _run(stages[0], image)
        joined = join_image(model.join, stages[0].spec, first.outputs, image)
        status, seen, pictures = joined.status, joined.seen, joined.pictures
    runs = tuple(_run(stages[-1], picture) for picture in pictures)
    answers: dict[str, NDArray[np.float32]] = {}
    prediction = Prediction({})
    if runs:
        owner = np.zeros(len(runs), np.int64)
        for output in runs[0].outputs:
            rows = np.concatenate([run.outputs[output] for run in runs])
            answers[output] = mean_by(owner, rows).astype(np.float32)
        prediction = predict(stages[-1].spec, answers)
    return GoldenCase(
        name, stored, orientation, first, runs, status, seen, answers, prediction
    )  # fmt: skip


def _run(stage: Predictor, image: Pixels) -> StageRun:
    pixels = preprocess(image, stage.spec.input)
    return StageRun(pixels, stage.run(pixels))
