"""What a device computed on a pack, against the float model and against another machine.

The float model's outputs are in the pack; the artifact's come from the device. Every change is
the device's value minus the reference's, on the same images.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics, native
from edgeskin.artifacts import Metadata
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.runner.events import Event
from edgeskin.errors import RunFailed
from edgeskin.evaluation import compare, measures, predicted_values
from edgeskin.metrics import accuracy as share_right
from edgeskin.metrics import mae
from edgeskin.postprocess import Outputs, decisions, decode
from edgeskin.predictor import to_floats
from edgeskin.runtimes import TensorSpec
from edgeskin.spec import ClassificationHead, Spec
from edgeskin.statistics import mcnemar_p, wilcoxon_p

SMALLEST_GROUP = 2


def read_outputs(data: bytes, tensors: Sequence[Event], metadata: Metadata) -> dict[str, Any]:
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


def report(pack: Pack, found: Outputs, twin: Outputs | None = None) -> dict[str, Any]:
    """The accuracy part of a result.

    Args:
        found: The device's decoded outputs of every image.
        twin: The same artifact's on this machine, where that was asked for.
    """
    spec = pack.spec
    document: dict[str, Any] = {
        "images": len(pack),
        **_agreement(spec, pack.reference, found),
        "metrics": _metrics(spec, pack.reference, found, pack.truth),
        "groups": _groups(pack, found),
        "changed": changed(pack, found),
    }
    if twin is not None:
        document["host"] = {
            **_agreement(spec, twin, found),
            "bit_equal": {
                name: float(np.mean(values == found[name])) for name, values in twin.items()
            },
        }
    return document


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
    fields: dict[str, Any] = {"type": tensor["dtype"], "layout": "nhwc" if nhwc else "nchw"}
    if io == "tensor":
        fields |= {"channels": given.color_order.lower(), "mean": given.mean, "std": given.std}
        if "scale" in tensor:
            fields |= {"scale": tensor["scale"], "zero_point": tensor["zero_point"]}
    if pack.ready:
        fields |= {"fit": "squash", "resize_to": 0}
    return native.Recipe.from_spec(given, **fields)


def changed(pack: Pack, found: Outputs) -> list[dict[str, Any]]:
    """Images whose decision is another than the float model's, the worst first.

    Worst is what was right and is wrong now, then the largest step between classes, then the
    largest loss of the probability of what the float model had decided. Heads that decide per
    pixel are left out.
    """
    ours, theirs = decisions(pack.spec, pack.reference), decisions(pack.spec, found)
    truth = {
        m.predicted.removesuffix("_grade"): m.truth
        for m in measures(pack.spec, pack.truth)
        if m.metric is share_right
    }
    rows = []
    for head, before in ours.items():
        after = theirs[head]
        for i in np.flatnonzero(before != after) if before.ndim == 1 else ():
            row = {"image": int(i), "source_sha256": pack.items[i].source_sha256, "head": head}
            row |= {"truth": int(truth[head][i]) if head in truth else None}
            row |= {"float": int(before[i]), "device": int(after[i])}
            lost = _probability_lost(pack, found, head, int(i), int(before[i]))
            rows.append({**row, "probability_lost": lost})
    return sorted(rows, key=_badness, reverse=True)


def _badness(row: Mapping[str, Any]) -> tuple[bool, int, float]:
    became_wrong = row["float"] == row["truth"]
    return became_wrong, abs(row["device"] - row["float"]), row["probability_lost"]


def _probability_lost(pack: Pack, found: Outputs, head: str, image: int, decided: int) -> float:
    """Of a classification's decided class; 0 for a grade, which is a sum of many."""
    if not any(isinstance(h, ClassificationHead) and h.name == head for h in pack.spec.heads):
        return 0.0
    return float(pack.reference[head][image, decided] - found[head][image, decided])


def _agreement(spec: Spec, reference: Outputs, found: Outputs) -> dict[str, Any]:
    ours, theirs = decisions(spec, reference), decisions(spec, found)
    return {
        "agreement": {
            name: {
                "sqnr_db": metrics.sqnr_db(values, found[name]),
                "cosine": metrics.cosine_ratio(values, found[name]),
                "max_difference": metrics.max_difference(values, found[name]),
            }
            for name, values in reference.items()
        },
        "equal_decisions": {
            name: metrics.equal_ratio(values, theirs[name]) for name, values in ours.items()
        },
    }


def _metrics(
    spec: Spec, reference: Outputs, found: Outputs, truth: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """`evaluation.compare`, with a paired test where one fits."""
    changes = compare(spec, reference, found, truth)
    document = {name: change.to_json() for name, change in changes.items()}
    ours, theirs = predicted_values(spec, reference), predicted_values(spec, found)
    for m in measures(spec, truth):
        before, after = ours[m.predicted], theirs[m.predicted]
        if m.metric is share_right:
            p = mcnemar_p(before == m.truth, after == m.truth)
            document[m.name]["test"] = {"name": "McNemar, exact", "p": p}
        elif m.metric is mae:
            p = wilcoxon_p(np.abs(before - m.truth), np.abs(after - m.truth))
            document[m.name]["test"] = {"name": "Wilcoxon signed-rank", "p": p}
    return document


def _groups(pack: Pack, found: Outputs) -> dict[str, Any]:
    """The metrics of each group of at least SMALLEST_GROUP images."""
    document: dict[str, Any] = {}
    for column, values in pack.groups.items():
        labels = np.array(values)
        document[column] = {}
        for group in sorted(set(values)):
            chosen = np.flatnonzero(labels == group)
            entry: dict[str, Any] = {"images": len(chosen)}
            if len(chosen) >= SMALLEST_GROUP:
                ours, theirs, truth = (
                    {name: values[chosen] for name, values in whole.items()}
                    for whole in (pack.reference, found, pack.truth)
                )
                entry["metrics"] = _metrics(pack.spec, ours, theirs, truth)
            document[column][group] = entry
    return document
