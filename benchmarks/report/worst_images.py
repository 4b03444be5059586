"""The images that a device answers worst, side by side: its input, both answers, the difference.

The input is what the device saw, by the native core that it runs too; of a pipeline the image as
it was taken. Masks lie over it. Pictures travel inside the page as WebP of at most `SIDE` pixels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin import native
from edgeskin.benchmarks.accuracy import ChangedDecision
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.pipeline_pack import PipelinePack
from edgeskin.benchmarks.report.answers import Answers
from edgeskin.benchmarks.report.decision_charts import class_labels
from edgeskin.masks import resized
from edgeskin.metrics import max_difference
from edgeskin.pipelines.joins import inside
from edgeskin.pipelines.pipeline_spec import MaskJoin
from edgeskin.postprocess import (
    ClassPrediction,
    DistributionPrediction,
    EmbeddingPrediction,
    HeadPrediction,
    LabelsPrediction,
    Outputs,
    Prediction,
    RegressionPrediction,
    SegmentationPrediction,
    decisions,
    predict,
    rows_of,
)
from edgeskin.preprocess import preprocess
from edgeskin.spec import ClassificationHead, DistributionHead, SegmentationHead

SIDE = 160
"""The longer side of a picture in the page, in pixels."""
MOST_IMAGES = 4
"""Of a result."""
ALIKE = 0.001
"""Outputs that differ by less of their size are not worth a picture."""
_COLOURS = np.array(
    [(0, 158, 115), (213, 94, 0), (0, 114, 178), (204, 121, 167), (240, 228, 66), (86, 180, 233)],
    np.float64,
)
"""Of masks: Okabe and Ito's, which colour-blind people tell apart."""


@dataclass(frozen=True)
class WorstImage:
    """One image of a result.

    Attributes:
        image: Its number in the pack; `source` is the SHA-256 of its file.
        why: What makes it one of the worst.
        seen: The picture; `float_mask` and `device_mask` lie over it and `difference` says where
            they differ. Data URIs; empty where there are no masks. Of a pipeline, whose last stage
            draws none, `float_mask` is the first stage's, and the device's is not known.
        seen_as, float_as: What stands under `seen` and under `float_mask`.
        float_says, device_says, truth: Answers, a line a head.
        differs: The largest difference of each output.
        changed: Heads that decide otherwise.
    """

    image: int
    source: str
    why: str
    seen: str
    seen_as: str
    size: tuple[int, int]
    float_mask: str
    float_as: str
    device_mask: str
    difference: str
    float_says: tuple[str, ...]
    device_says: tuple[str, ...]
    truth: tuple[str, ...]
    differs: tuple[str, ...]
    changed: tuple[str, ...]


def worst_images(
    answers: Answers, changed_decisions: Sequence[ChangedDecision]
) -> Iterator[WorstImage]:
    """The worst images of a result, the worst first; changed decisions come before the others.

    Images whose outputs are `ALIKE`, and decided alike, are none of them.

    Args:
        changed_decisions: As the result has them: their images are rows of `answers`.
    """
    distance = _distances(answers.pack, answers.outputs)
    changed = dict[int, list[str]]()
    for change in changed_decisions:
        changed.setdefault(change.image, []).append(change.head)
    order = np.argsort(-distance, kind="stable").tolist()
    bad = [row for row in order if row in changed or distance[row] >= ALIKE]
    for row in sorted(bad, key=lambda row: row not in changed)[:MOST_IMAGES]:
        yield _worst(answers, row, tuple(changed.get(row, ())), float(distance[row]))


def _worst(answers: Answers, row: int, changed: tuple[str, ...], distance: float) -> WorstImage:
    pack, chosen = answers.pack, np.array([row])
    ours, theirs = rows_of(pack.reference, chosen), rows_of(answers.outputs, chosen)
    why = f"outputs differ by {100 * distance:.1f} % of their size"
    if np.isinf(distance):
        why = "an output is no number"
    elif changed:
        why = f"another answer: {', '.join(changed)}"
    image = int(answers.images[row])
    if answers.pipeline is None:
        pixels = _seen(pack, row)
        over_float, over_device, difference = _masks(pack, ours, theirs, pixels)
        seen_as, float_as = "input as the device saw it", "float model"
    else:
        pixels = _small(answers.pipeline.image(image))
        over_float, over_device, difference = _first_mask(answers.pipeline, image, pixels), "", ""
        seen_as = "the image as it was taken"
        float_as = f"float pipeline, with what its '{answers.pipeline.names[0]}' finds"
    return WorstImage(
        image=image,
        source=pack.items[row].source_sha256,
        why=why,
        seen=_uri(pixels),
        seen_as=seen_as,
        size=(pixels.shape[1], pixels.shape[0]),
        float_mask=over_float,
        float_as=float_as,
        device_mask=over_device,
        difference=difference,
        float_says=_lines(predict(pack.spec, ours)),
        device_says=_lines(predict(pack.spec, theirs)),
        truth=tuple(_truth(pack, row)),
        differs=tuple(
            f"{name}: {max_difference(values, theirs[name]):.3g}" for name, values in ours.items()
        ),
        changed=changed,
    )


def _truth(pack: Pack, image: int) -> Iterator[str]:
    """The labels of an image that are one number, an interval or one class."""
    named = class_labels(pack.spec)
    distributions = {h.name for h in pack.spec.heads if isinstance(h, DistributionHead)}
    for head, values in pack.truth.items():
        if values.ndim == 1:
            value = values[image]
            yield f"{head}: {named[head][int(value)] if _is_class(pack, head) else f'{value:g}'}"
        elif head in distributions:
            yield f"{head}: {' to '.join(f'{end:g}' for end in np.unique(values[image]))}"


def _is_class(pack: Pack, head: str) -> bool:
    return any(isinstance(h, ClassificationHead) and h.name == head for h in pack.spec.heads)


def _distances(pack: Pack, outputs: Outputs) -> NDArray[np.float64]:
    """Of each image: the largest root mean square difference of an output, by that output's size.

    Of heads that decide by pixel, the share of pixels that are decided otherwise, if it is larger.
    """
    count = len(pack)
    found = np.zeros(count)
    for name, ours in pack.reference.items():
        a, b = (np.asarray(x, np.float64).reshape(count, -1) for x in (ours, outputs[name]))
        size = float(np.sqrt(np.mean(a**2))) or 1.0
        found = np.maximum(found, np.sqrt(np.mean((a - b) ** 2, axis=1)) / size)
    both = decisions(pack.spec, pack.reference), decisions(pack.spec, outputs)
    for name, decided in both[0].items():
        if decided.ndim > 2:
            differ = (decided != both[1][name]).reshape(count, -1).mean(axis=1)
            found = np.maximum(found, differ)
    return np.where(np.isnan(found), np.inf, found)


def _seen(pack: Pack, image: int) -> NDArray[np.uint8]:
    """What the network got, at most `SIDE` pixels high and wide."""
    pixels = pack.image(image)
    return _small(pixels if pack.ready else preprocess(pixels, pack.spec.input))


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    if max(height, width) <= SIDE:
        return pixels
    scale = SIDE / max(height, width)
    size = {"width": max(1, round(scale * width)), "height": max(1, round(scale * height))}
    return native.preprocess(pixels, native.Recipe(**size))


def _masks(
    pack: Pack, ours: Outputs, theirs: Outputs, pixels: NDArray[np.uint8]
) -> tuple[str, str, str]:
    """The first segmentation head's masks over the picture, and where they differ."""
    head = next((h for h in pack.spec.heads if isinstance(h, SegmentationHead)), None)
    if head is None:
        return "", "", ""
    height, width = pixels.shape[:2]
    pair = [
        _classes(resized(decisions(pack.spec, each)[head.name], height, width)[0])
        for each in (ours, theirs)
    ]
    differ = np.where(pair[0] != pair[1], 5, 0)  # yellow
    drawn = [_over(pixels, mask) for mask in pair]
    return _uri(drawn[0]), _uri(drawn[1]), _uri(_over(pixels // 3, differ, 1.0))


def _first_mask(pack: PipelinePack, image: int, pixels: NDArray[np.uint8]) -> str:
    """The regions that the float pipeline's stages join by, over the picture: skin, then lesion."""
    original, row = pack.image(image), rows_of(pack.reference, np.array([image]))
    join = pack.join
    regions = (join.keep,) if isinstance(join, MaskJoin) else (join.skin, join.lesion)
    classes = np.zeros(original.shape[:2], np.int64)
    for number, region in enumerate(regions, 1):
        classes[inside(region, pack.spec, row, original)] = number
    return _uri(_over(pixels, resized(classes[None], *pixels.shape[:2])[0], 0.4))


def _classes(mask: NDArray[np.int64]) -> NDArray[np.int64]:
    """A class a pixel (H, W), 0 for none; of labels by themselves, (H, W, C), the last one set."""
    if mask.ndim == 2:
        return mask
    numbers = np.arange(1, mask.shape[2] + 1)
    return np.asarray((mask * numbers).max(axis=2), np.int64)


def _over(
    pixels: NDArray[np.uint8], classes: NDArray[np.int64], share: float = 0.5
) -> NDArray[np.uint8]:
    """Classes above 0 as colours over a picture; of a pixel there `share` is colour."""
    colours = _COLOURS[(classes - 1) % len(_COLOURS)]
    mixed = np.where((classes > 0)[..., None], (1 - share) * pixels + share * colours, pixels)
    return np.asarray(np.rint(mixed), np.uint8)


def _uri(pixels: NDArray[np.uint8]) -> str:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "WEBP", quality=72, method=4)
    return f"data:image/webp;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"


def _lines(prediction: Prediction) -> tuple[str, ...]:
    return tuple(f"{name}: {_line(answer)}" for name, answer in prediction.items())


def _line(answer: HeadPrediction) -> str:
    match answer:
        case ClassPrediction():
            return f"{answer.label} {answer.probabilities[answer.label]:.2f}"
        case LabelsPrediction():
            return ", ".join(f"{x} {answer.probabilities[x]:.2f}" for x in answer.labels) or "none"
        case DistributionPrediction():
            grade = f" ({answer.grade})" if answer.grade else ""
            return f"{answer.value:.2f} {answer.unit}{grade}"
        case RegressionPrediction():
            return f"{answer.value:.3g} {answer.unit}"
        case SegmentationPrediction():
            parts = (f"{name} {100 * share:.1f} %" for name, share in answer.area_fraction.items())
            return ", ".join(parts)
        case EmbeddingPrediction():
            return f"{answer.size} values, norm {answer.norm:.3f}"
    return f"{answer.min:.3g} to {answer.max:.3g} {answer.unit}, mean {answer.mean:.3g}"
