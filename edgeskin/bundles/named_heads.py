"""The heads of a model with their names in a language, for templates."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod

from edgeskin.bundles.words import Language, Style, identifiers
from edgeskin.postprocess import MOST_VALUES
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    Head,
    SegmentationHead,
    TensorHead,
)


@dataclass(frozen=True)
class Label:
    """A label's text in the spec, and its identifier."""

    text: str
    name: str


@dataclass(frozen=True)
class NamedHead:
    """A head as a template sees it.

    Attributes:
        head: As in the spec.
        kind: classified, labelled, graded, measured, segmented, covered, regression, embedding or
            tensor.
        field: Name of its property in the result.
        type: Name of its enum, where it has labels or grades.
        labels: Of the enum; of a distribution its grades.
    """

    head: Head
    kind: str
    field: str
    type: str
    labels: tuple[Label, ...]

    @property
    def small(self) -> bool:
        """Of a tensor: whether a prediction holds its values, and not only their range."""
        return isinstance(self.head, TensorHead) and prod(self.head.shape) <= MOST_VALUES


def named_heads(
    heads: Sequence[Head],
    language: Language,
    *,
    fields: Style,
    labels: Style,
    taken: Collection[str] = (),
) -> tuple[NamedHead, ...]:
    """Every head, in the order of the spec; all names are different.

    Args:
        fields: Style of properties.
        labels: Style of the values of enums.
        taken: Types of the code around the enums, which none of them may hide.
    """
    names = [head.name for head in heads]
    properties = identifiers(names, fields, language, otherwise="head")
    types = _apart(identifiers(names, "pascal", language, otherwise="head"), taken)
    found = []
    for head, field, type_ in zip(heads, properties, types, strict=True):
        texts = _texts(head)
        spelled = identifiers(texts, labels, language)
        pairs = tuple(Label(text, name) for text, name in zip(texts, spelled, strict=True))
        found.append(NamedHead(head, _kind(head), field, type_, pairs))
    return tuple(found)


def _apart(types: Sequence[str], taken: Collection[str]) -> Iterator[str]:
    """The types; those that would hide another have `Label` behind them."""
    used = {*types, *taken}
    for name in types:
        if name in taken:
            while name in used:
                name += "Label"
            used.add(name)
        yield name


def _texts(head: Head) -> tuple[str, ...]:
    match head:
        case ClassificationHead() | SegmentationHead():
            return head.labels
        case DistributionHead() if head.ranges is not None:
            return head.ranges.labels
    return ()


def _kind(head: Head) -> str:
    match head:
        case ClassificationHead():
            return "classified" if head.activation == "softmax" else "labelled"
        case SegmentationHead():
            return "segmented" if head.activation == "softmax" else "covered"
        case DistributionHead():
            return "measured" if head.ranges is None else "graded"
    return head.kind
