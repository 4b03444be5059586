"""What a device computed on a pack, against the float model and against another machine.

The float model's outputs are in the pack; the artifact's come from the device. Every change is
the device's value minus the reference's, on the same images.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics, native
from edgeskin.artifacts import Metadata
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.runner.events import Event
from edgeskin.benchmarks.runner.request import EngineUsed
from edgeskin.document import Document
from edgeskin.errors import RunFailed
from edgeskin.evaluation import (
    Measure,
    MetricChange,
    PairedTest,
    Truth,
    compare,
    measures,
    predicted_values,
)
from edgeskin.metrics import accuracy as share_right
from edgeskin.metrics import mae
from edgeskin.postprocess import Outputs, decisions, decode
from edgeskin.predictor import to_floats
from edgeskin.runtimes import TensorSpec
from edgeskin.spec import ClassificationHead, Spec
from edgeskin.statistics import mcnemar_p, wilcoxon_p
from edgeskin.subgroups import Subgroups, by_groupings


class OutputAgreement(Document):
    """How far an output is from the reference's; `max_difference` in the output's unit."""

    sqnr_db: float
    cosine: float
    max_difference: float


class Agreement(Document):
    """Two sets of outputs of the same images: by output, and by head that decides anything.

    `equal_decisions` is the share of images, or of pixels, on which both decide alike.
    """

    agreement: dict[str, OutputAgreement]
    equal_decisions: dict[str, float]


class HostAgreement(Agreement):
    """The device against this machine, where `engine` ran the same file.

    `bit_equal` is the share of an output's values that are the same to the bit.
    """

    bit_equal: dict[str, float]
    engine: EngineUsed


class ChangedDecision(Document):
    """An image that the device decides otherwise than the float model; classes are indices.

    `truth` is None where the head has no labels. `probability_lost` is what the class that the
    float model had decided lost; 0 for a grade, which is a sum of many.
    """

    image: int
    source_sha256: str
    head: str
    truth: int | None
    probability_lost: float
    device: int
    float: int

    @property
    def badness(self) -> tuple[bool, int, Any]:
        """The worst is the largest: see `changed`."""
        return self.float == self.truth, abs(self.device - self.float), self.probability_lost


class Accuracy(Agreement):
    """What the device computed, against the float model; a change is device minus float model.

    Attributes:
        bit_equal_inputs: The share of images that the device preprocessed to the very bytes
            that this machine makes.
        groups: By what the pack's images are grouped by.
        changed: The worst first.
        host: Against the same artifact on this machine, where that was asked for.
    """

    bit_equal_inputs: float
    images: int
    metrics: dict[str, MetricChange]
    groups: dict[str, Subgroups]
    changed: tuple[ChangedDecision, ...]
    host: HostAgreement | None = None


@dataclass(frozen=True)
class Twin:
    """What the same artifact computed on this machine, and by which engine."""

    outputs: Outputs
    engine: EngineUsed


def read_outputs(
    data: bytes, tensors: Sequence[Event], metadata: Metadata
) -> dict[str, NDArray[Any]]:
    """Decoded outputs, N images along the first axis, from the bytes that the runner wrote.

    Args:
        data: Image after image, the tensors of each in order.
        tensors: As the runner's `tensors` event describes the outputs.

    Raises:
        RunFailed: Not a whole number of images.
    """
    size = sum(tensor["bytes"] for tensor in tensors)
    if not data or len(data) % size:
        raise RunFailed(f"the outputs are {len(data)} bytes, not a multiple of {size} an image")
    rows = np.frombuffer(data, np.uint8).reshape(-1, size)
    raw, at = {}, 0
    for tensor in tensors:
        kind = TensorSpec(
            tensor["name"],
            tuple(tensor["shape"]),
            tensor["dtype"],
            tensor.get("scale"),
            tensor.get("zero_point"),
        )
        part = np.ascontiguousarray(rows[:, at : at + tensor["bytes"]])
        at += tensor["bytes"]
        values = part.view(tensor["dtype"]).reshape(len(rows), *kind.shape[1:])
        raw[kind.name] = to_floats(values, kind)
    return raw if metadata.io == "app" else dict(decode(metadata.spec, raw))


def report(
    pack: Pack, outputs: Outputs, *, bit_equal_inputs: float, twin: Twin | None = None
) -> Accuracy:
    """The accuracy part of a result.

    Args:
        outputs: The device's decoded outputs of every image.
        bit_equal_inputs: See the function of that name.
        twin: The same artifact on this machine, where that was asked for.
    """
    return Accuracy(
        bit_equal_inputs=bit_equal_inputs,
        images=len(pack),
        agreement=_agreement(pack.reference, outputs),
        equal_decisions=_equal_decisions(pack.spec, pack.reference, outputs),
        metrics=_metrics(pack.spec, pack.reference, outputs, pack.truth),
        groups=by_groupings(
            pack.spec, pack.reference, outputs, pack.truth, pack.groups, compare=_metrics
        ),
        changed=changed(pack, outputs),
        host=None if twin is None else _against_host(pack.spec, twin, outputs),
    )


def _against_host(spec: Spec, twin: Twin, outputs: Outputs) -> HostAgreement:
    return HostAgreement(
        agreement=_agreement(twin.outputs, outputs),
        equal_decisions=_equal_decisions(spec, twin.outputs, outputs),
        bit_equal={
            name: float(np.mean(values == outputs[name])) for name, values in twin.outputs.items()
        },
        engine=twin.engine,
    )


def bit_equal_inputs(
    pack: Pack, images: Sequence[int], answers: Sequence[Event], tensor: Event, io: str
) -> float:
    """The share of images that the device preprocessed to the very bytes that we make here.

    Args:
        images: Which of the pack's images the `answers` belong to.
        tensor: The input, as the runner's `tensors` event describes it.
    """
    recipe = input_recipe(pack, tensor, io)
    equal = [
        zlib.crc32(native.preprocess(pack.image(i), recipe).tobytes()) == answer["input_crc32"]
        for i, answer in zip(images, answers, strict=True)
    ]
    return float(np.mean(equal))


def input_recipe(pack: Pack, tensor: Event, io: str) -> native.Recipe:
    """The core's recipe for an input tensor, as the runner makes it."""
    given, shape = pack.spec.input, tensor["shape"]
    nhwc = shape[3] == 3 and shape[1] != 3
    recipe = native.Recipe.from_spec(given, type=tensor["dtype"], layout="nhwc" if nhwc else "nchw")
    if io == "tensor":
        channels: Literal["rgb", "bgr"] = "rgb" if given.color_order == "RGB" else "bgr"
        recipe = replace(recipe, channels=channels, mean=given.mean, std=given.std)
        if "scale" in tensor:
            recipe = replace(recipe, scale=tensor["scale"], zero_point=tensor["zero_point"])
    return replace(recipe, fit="squash", resize_to=0) if pack.ready else recipe


def changed(pack: Pack, outputs: Outputs) -> tuple[ChangedDecision, ...]:
    """Images whose decision is another than the float model's, the worst first.

    Worst is what was right and is wrong now, then the largest step between classes, then the
    largest loss of the probability of what the float model had decided. Heads that decide per
    pixel or per label are left out.
    """
    ours, theirs = decisions(pack.spec, pack.reference), decisions(pack.spec, outputs)
    truth = {
        m.predicted.removesuffix("_grade"): m.truth
        for m in measures(pack.spec, pack.truth)
        if m.metric is share_right
    }
    rows = [
        ChangedDecision(
            image=i,
            source_sha256=pack.items[i].source_sha256,
            head=head,
            truth=int(truth[head][i]) if head in truth else None,
            probability_lost=_probability_lost(pack, outputs, head, i, int(before[i])),
            device=int(theirs[head][i]),
            float=int(before[i]),
        )
        for head, before in ours.items()
        if before.ndim == 1
        for i in np.flatnonzero(before != theirs[head]).tolist()
    ]
    return tuple(sorted(rows, key=lambda row: row.badness, reverse=True))


def _probability_lost(pack: Pack, outputs: Outputs, head: str, image: int, decided: int) -> float:
    if not any(isinstance(h, ClassificationHead) and h.name == head for h in pack.spec.heads):
        return 0.0
    return float(pack.reference[head][image, decided] - outputs[head][image, decided])


def _agreement(reference: Outputs, outputs: Outputs) -> dict[str, OutputAgreement]:
    return {
        name: OutputAgreement(
            sqnr_db=metrics.sqnr_db(values, outputs[name]),
            cosine=metrics.cosine_ratio(values, outputs[name]),
            max_difference=metrics.max_difference(values, outputs[name]),
        )
        for name, values in reference.items()
    }


def _equal_decisions(spec: Spec, reference: Outputs, outputs: Outputs) -> dict[str, float]:
    ours, theirs = decisions(spec, reference), decisions(spec, outputs)
    return {name: metrics.equal_ratio(values, theirs[name]) for name, values in ours.items()}


def _metrics(
    spec: Spec, reference: Outputs, outputs: Outputs, truth: Truth
) -> dict[str, MetricChange]:
    """`evaluation.compare`, with a paired test where one fits."""
    changes = compare(spec, reference, outputs, truth)
    ours, theirs = predicted_values(spec, reference), predicted_values(spec, outputs)
    tests = {
        m.name: paired_test(m, m.predicted_by(ours), m.predicted_by(theirs))
        for m in measures(spec, truth)
    }
    return {
        name: change.model_copy(update={"test": tests[name]}) for name, change in changes.items()
    }


def paired_test(m: Measure, before: NDArray[Any], after: NDArray[Any]) -> PairedTest | None:
    """The test that fits a metric, of what `Measure.predicted_by` gives of two models."""
    if m.metric is share_right:
        return PairedTest(name="McNemar, exact", p=mcnemar_p(before == m.truth, after == m.truth))
    if m.metric is mae:
        p = wilcoxon_p(np.abs(before - m.truth), np.abs(after - m.truth))
        return PairedTest(name="Wilcoxon signed-rank", p=p)
    if m.metric is metrics.label_accuracy:  # an image's share of wrong labels
        p = wilcoxon_p((before != m.truth).mean(axis=1), (after != m.truth).mean(axis=1))
        return PairedTest(name="Wilcoxon signed-rank", p=p)
    return None
