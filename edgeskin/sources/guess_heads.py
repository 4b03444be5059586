"""From a model's outputs to heads: what their shapes, names and last operators say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgeskin.errors import InvalidSpec, ShapeMismatch
from edgeskin.sources.graph_outputs import Activation
from edgeskin.sources.source_model import SourceLayout, SourceTensor
from edgeskin.sources.spec_answers import HeadAnswer, HeadKind, SpecAnswers
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    Head,
    RegressionHead,
    SegmentationHead,
    Spec,
    TensorHead,
)

_EMBEDDING_SIZES = {64, 128, 192, 256, 320, 384, 512, 576, 768, 1024, 1280, 1536, 2048}
"""Widths of features; a classifier of so many classes would say its labels."""
_EMBEDDING_NAME = re.compile(r"embed|(^|_)emb(_|$)|feature")
_SAY_NOTHING = {
    "output",
    "out",
    "identity",
    "linear",
    "view",
    "softmax",
    "sigmoid",
    "logits",
}
_NAMES: dict[HeadKind, str] = {
    "classification": "label",
    "multilabel": "labels",
    "regression": "value",
    "distribution": "value",
    "segmentation": "mask",
    "embedding": "embedding",
    "tensor": "tensor",
}


@dataclass(frozen=True)
class Output:
    """One output of a source: its shape, and the activation that it ends in."""

    tensor: SourceTensor
    activation: Activation | None


@dataclass(frozen=True)
class GuessedHead:
    """A head, how its raw values lie in the output, and what was guessed about it, a line."""

    head: Head
    channels_last: bool
    said: str


def guess_heads(
    outputs: Sequence[Output],
    layout: SourceLayout,
    answers: SpecAnswers,
    known_labels: tuple[str, ...] | None,
) -> list[GuessedHead]:
    """A head for each output, by what the user says, and by its shape where he does not.

    Args:
        layout: Of the source's input, which its maps share where both are possible.
        known_labels: Of the classes, as the source says them.

    Raises:
        ShapeMismatch: Another number of heads than of outputs, or of labels than of classes.
        InvalidSpec: Labels for a head that there is not, or that has none.
    """
    if answers.heads and len(answers.heads) != len(outputs):
        raise ShapeMismatch(
            f"the model gives {len(outputs)} outputs ({_shown(outputs)}), --head names "
            f"{len(answers.heads)} heads"
        )
    given = answers.heads or (HeadAnswer(""),) * len(outputs)
    found = []
    for index, (output, answer) in enumerate(zip(outputs, given, strict=True)):
        labels = _labels_for(answer, output, outputs, answers, known_labels)
        kind = answer.kind or _kind(output, layout, labels)
        name = answer.name or _name(output.tensor.name, kind, index, len(outputs))
        found.append(_head(name, kind, output, layout, labels, answer))
    unused = answers.labels.keys() - {guess.head.name for guess in found} - {""}
    if unused:
        raise InvalidSpec(
            f"--labels names the head '{min(unused)}'; the heads are "
            f"{', '.join(guess.head.name for guess in found)}"
        )
    return found


def heads_of(spec: Spec, outputs: Sequence[Output], layout: SourceLayout) -> list[GuessedHead]:
    """The heads of a spec that is given, and how each lies in its output.

    Raises:
        ShapeMismatch: Another number of heads than of outputs, or a head that does not fit.
    """
    if len(spec.heads) != len(outputs):
        raise ShapeMismatch(
            f"the model gives {len(outputs)} outputs ({_shown(outputs)}), the spec has "
            f"{len(spec.heads)} heads"
        )
    return [_placed(head, out, layout) for head, out in zip(spec.heads, outputs, strict=True)]


def _placed(head: Head, output: Output, layout: SourceLayout) -> GuessedHead:
    shape = output.tensor.shape
    last = isinstance(head, SegmentationHead) and _channels_last(shape, layout)
    match head:
        case SegmentationHead(labels=labels):
            fits = len(shape) == 4 and shape[3 if last else 1] == len(labels)
        case ClassificationHead(labels=labels):
            fits = _size(shape) == len(labels)
        case EmbeddingHead(size=size) | DistributionHead(size=size):
            fits = _size(shape) == size
        case RegressionHead():
            fits = _size(shape) == 1
        case TensorHead(shape=own):
            fits = _size(shape) == math.prod(own)
    if not fits:
        raise ShapeMismatch(f"head '{head.name}' does not fit the output of {shape}: {head!r}")
    return GuessedHead(head, last, "")


def _labels_for(
    answer: HeadAnswer,
    output: Output,
    outputs: Sequence[Output],
    answers: SpecAnswers,
    known: tuple[str, ...] | None,
) -> tuple[str, ...] | None:
    """The labels of a head: by its name, or those that are given for the only head with classes."""
    if answer.name in answers.labels:
        return answers.labels[answer.name]
    labels = known
    if not answer.name or len(answers.labels) == 1:
        labels = answers.labels.get("", known)
    if labels is None or len(outputs) == 1:
        return labels
    return labels if len(labels) in _channel_counts(output) else None


def _channel_counts(output: Output) -> set[int]:
    shape = output.tensor.shape
    return {shape[1], shape[-1]} if len(shape) > 1 else set()


def _kind(output: Output, layout: SourceLayout, labels: tuple[str, ...] | None) -> HeadKind:
    shape = output.tensor.shape
    if _is_map(shape):
        return "segmentation"
    if not _is_vector(shape):
        return "tensor"
    size = max(_of_one_image(shape), default=1)
    if output.activation == "sigmoid":
        return "multilabel"
    if labels is not None or output.activation == "softmax":
        return "classification"
    if size == 1:
        return "regression"
    is_embedding = size in _EMBEDDING_SIZES or _EMBEDDING_NAME.search(output.tensor.name.lower())
    return "embedding" if is_embedding else "classification"


def _is_vector(shape: tuple[int, ...]) -> bool:
    """(1, C), (1, C, 1, 1), (1, 1, 1, C), or (1,)."""
    return len([size for size in shape if size > 1]) <= 1


def _is_map(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[0] == 1 and sorted(shape[1:])[1] > 1


def _channels_last(shape: tuple[int, ...], layout: SourceLayout) -> bool:
    """Whether a map's channels come last: they are fewer than rows and columns, as a rule."""
    if len(shape) != 4:
        return False
    first, last = shape[1], shape[3]
    return last < first if first != last else layout == "NHWC"


def _head(
    name: str,
    kind: HeadKind,
    output: Output,
    layout: SourceLayout,
    labels: tuple[str, ...] | None,
    answer: HeadAnswer,
) -> GuessedHead:
    shape = output.tensor.shape
    last = kind == "segmentation" and _channels_last(shape, layout)
    is_map = kind == "segmentation" and len(shape) == 4
    size = shape[-1 if last else 1] if is_map else _size(shape)
    if kind == "tensor":
        head: Head = TensorHead(name=name, shape=_of_one_image(shape) or (1,), unit=answer.unit)
        return GuessedHead(head, False, _said(name, kind, output, ""))
    if kind == "embedding":
        return GuessedHead(
            EmbeddingHead(name=name, size=size), False, _said(name, kind, output, "")
        )
    if kind == "distribution":
        distribution = DistributionHead(
            name=name,
            first=answer.first,
            step=answer.step,
            size=size,
            unit=answer.unit or "value",
        )
        last_value = answer.first + answer.step * (size - 1)
        values = f", over {answer.first:g} to {last_value:g} {answer.unit}".rstrip()
        return GuessedHead(distribution, False, _said(name, kind, output, values))
    if kind == "regression":
        if size != 1:
            raise ShapeMismatch(f"head '{name}' is a regression of one value, not of {size}")
        unit = (
            f" in {answer.unit}"
            if answer.unit
            else ", its unit is not stated (--head NAME=regression:UNIT)"
        )
        return GuessedHead(
            RegressionHead(name=name, unit=answer.unit or "value"),
            False,
            _said(name, kind, output, unit),
        )
    named, note = _named(name, labels, size)
    if kind == "segmentation":
        single = size == 1 or output.activation == "sigmoid"
        segmentation = SegmentationHead(
            name=name, labels=named, activation="sigmoid" if single else "softmax"
        )
        return GuessedHead(segmentation, last, _said(name, kind, output, note))
    activation: Activation = "sigmoid" if kind == "multilabel" else "softmax"
    head = ClassificationHead(name=name, labels=named, activation=activation)
    return GuessedHead(head, False, _said(name, kind, output, note))


def _of_one_image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the batch of one, which some outputs do not have first: (20, 1, 37), (7,)."""
    return shape[1:] if shape[:1] == (1,) else shape


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(_of_one_image(shape))


def _named(name: str, labels: tuple[str, ...] | None, size: int) -> tuple[tuple[str, ...], str]:
    """The labels of `size` classes, made up where there are none, and a word about them."""
    if labels is None:
        made_up = tuple(f"class_{index}" for index in range(size))
        return made_up, f", {size} labels made up (--labels a,b,c or a file)"
    if len(labels) != size:
        raise ShapeMismatch(
            f"head '{name}' has {size} classes, {len(labels)} labels are given: "
            f"{', '.join(labels[:4])}{', ...' if len(labels) > 4 else ''}"
        )
    return labels, ""


def _name(given: str, kind: HeadKind, index: int, count: int) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", given.lower().rpartition("/")[2]).strip("_")
    is_word = plain and not any(letter.isdigit() for letter in plain)  # no counter of a framework
    if is_word and plain not in _SAY_NOTHING:
        return plain
    return _NAMES[kind] if count == 1 else f"{_NAMES[kind]}_{index}"


def _said(name: str, kind: HeadKind, output: Output, more: str) -> str:
    ends = f", which ends in {output.activation}" if output.activation else ""
    return f"head '{name}': {kind}, from the output {output.tensor.shape}{ends}{more}"


def _shown(outputs: Sequence[Output]) -> str:
    return ", ".join(f"{output.tensor.name} {output.tensor.shape}" for output in outputs)
