"""A model as the templates of an Android module see it: names in Kotlin, sizes, regions."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from edgeskin import native
from edgeskin.bundles.bundle_api import ModelApi, Stage
from edgeskin.bundles.golden_vectors import GoldenCase
from edgeskin.bundles.named_heads import NamedHead, named_heads
from edgeskin.bundles.words import identifiers
from edgeskin.pipelines.pipeline_spec import Join

_ANSWERS = """Choice Labels Measurement GradedMeasurement Value Areas Coverage Embedding Values
Crop"""
_KOTLIN = """Any Boolean Companion Double Enum Exception Float Int List Long Map Set String
Throwable Unit"""
_TYPES = frozenset(f"{_ANSWERS} {_KOTLIN}".split())
"""Names that an enum within a result would hide."""
_MODULE = """Accelerator Bitmap Box BuiltinNpuAcceleratorProvider ByteArray ByteBuffer ByteOrder
Closeable Compiled CompiledModel Context CropFinder CropRule Device Dispatchers Engine Environment
FileChannel FloatArray Golden Grid IOException Image ImageProxy IntArray Interpreted Interpreter
LinkageError Mask MessageDigest ModelException ModelFile Network NetworkInfo NonCancellable Outputs
Pixels Placement Runtime Selection TensorBuffer Workspace"""


@dataclass(frozen=True)
class AndroidStage:
    """One network, with the names of what belongs to it.

    Attributes:
        network: Property or parameter that runs it: `skinNetwork`.
        pixels: Property that makes its input.
        model: Parameter that says where its file is.
        spec_name: Parameter that brings its spec.
        constant: What is known of its file.
        sizes: Values of each output, by name.
    """

    stage: Stage
    network: str
    pixels: str
    model: str
    spec_name: str
    constant: str
    sizes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Grid:
    """Where a softmax over a grid of places is drawn over the image: of which stage and head."""

    name: str
    stage: str
    head: str
    labels: int
    width: int
    height: int


@dataclass(frozen=True)
class Chosen:
    """A region of a join: the head that draws it, its grid, and the labels' places in the head."""

    head: str
    grid: str
    values: tuple[int, ...]


class AndroidModel:
    """One class of the Kotlin API."""

    TAKEN: ClassVar = _TYPES | set(_MODULE.split())
    """Classes that a module has or uses beside those of its models."""

    def __init__(self, api: ModelApi) -> None:
        self.api = api
        self.join: Join | None = api.join
        self.heads = named_heads(
            api.heads,
            "kotlin",
            fields="camel",
            labels="upper",
            taken=_TYPES.union(self.classes),
        )
        self.stages = tuple(_stages(api))

    @property
    def answer(self) -> str:
        """Name of a pipeline's answer."""
        return f"{self.api.base}Answer"

    @property
    def reader(self) -> str:
        """Name of all but the networks."""
        return f"{self.api.base}Reader"

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the module's package."""
        joined = (self.answer,) if self.join is not None else ()
        return (self.api.name, self.api.result, self.reader, *joined)

    @property
    def tolerance(self) -> float:
        """How far outputs on a phone may be from ours, as a part of the largest."""
        return 0.05 if any(s.precision == "int8" for s in self.api.stages) else 0.02

    def type_of(self, head: NamedHead) -> str:
        """Of the result's property."""
        return {
            "classified": f"Choice<{head.type}>",
            "labelled": f"Labels<{head.type}>",
            "measured": "Measurement",
            "graded": f"GradedMeasurement<{head.type}>",
            "regression": "Value",
            "segmented": f"Areas<{head.type}>",
            "covered": f"Coverage<{head.type}>",
            "embedding": "Embedding",
            "tensor": "Values",
        }[head.kind]

    def label(self, head: NamedHead, text: str) -> str:
        """The identifier of a label."""
        return next(label.name for label in head.labels if label.text == text)

    def size_of(self, head: NamedHead) -> tuple[int, ...]:
        """Of the head's output, without the batch."""
        return _shape(self.api.last, head.head.name)

    @property
    def placed(self) -> bool:
        """Whether the answer has masks of the image."""
        return any(head.kind == "segmented" for head in self.heads)

    @property
    def overlay(self) -> str | None:
        """The property of the first mask."""
        return next((h.field for h in self.heads if h.kind == "segmented"), None)

    @property
    def percents(self) -> bool:
        """Whether the answer has probabilities or shares."""
        kinds = {head.kind for head in self.heads}
        return not kinds.isdisjoint({"classified", "labelled", "segmented", "covered"})

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """All that is drawn over the image: for the join, and for the answer."""
        first, last = self.api.stages[0], self.api.last
        wanted = {(first.name, region.head.name): first for region in self.api.regions.values()}
        drawn = (h.head.name for h in self.heads if h.kind == "segmented")
        wanted |= {(last.name, name): last for name in drawn}
        texts = (f"{s if self.join else ''} {head} grid" for s, head in wanted)
        names = identifiers(texts, "camel", "kotlin")
        grids = []
        for ((_, head), stage), name in zip(wanted.items(), names, strict=True):
            height, width, labels = _shape(stage, head)
            grids.append(Grid(name, stage.name, head, labels, width, height))
        return tuple(grids)

    def grid_of(self, head: NamedHead) -> str:
        """Name of the grid that draws a head of the answer."""
        return self._grid(self.api.last, head.head.name)

    def _grid(self, stage: Stage, head: str) -> str:
        return next(g.name for g in self.grids if (g.stage, g.head) == (stage.name, head))

    @property
    def regions(self) -> dict[str, Chosen]:
        """Of a join: `keep`, or `skin` and `lesion`."""
        first = self.api.stages[0]
        return {
            name: Chosen(region.head.name, self._grid(first, region.head.name), region.values)
            for name, region in self.api.regions.items()
        }

    def mask_crc(self, head: NamedHead, case: GoldenCase) -> int:
        """CRC-32 of the mask that a case's answer draws over the image as stored."""
        image = native.Image((case.pixels,), orientation=case.orientation)
        placement = native.place(image, native.Recipe.from_spec(self.api.last.spec.input))
        mask, _ = native.segment(case.answers[head.head.name][0], placement, "nhwc")
        return zlib.crc32(mask.tobytes())

    def golden_runs(self, stage: AndroidStage, cases: tuple[GoldenCase, ...]) -> tuple[str, ...]:
        """Golden vectors of a network, by the beginning of their files' names."""
        if self.join is not None and stage is self.stages[0]:
            return tuple(f"{case.name}.first" for case in cases)
        return tuple(f"{case.name}.{i}" for case in cases for i in range(len(case.runs)))


def _stages(api: ModelApi) -> Iterator[AndroidStage]:
    several = len(api.stages) > 1
    for i, stage in enumerate(api.stages):

        def names(word: str, i: int = i) -> str:
            words = [f"{s.name} {word}" if several else word for s in api.stages]
            return identifiers(words, "camel", "kotlin")[i]

        constants = [f"{s.name} network" if several else "network" for s in api.stages]
        yield AndroidStage(
            stage=stage,
            network=names("network"),
            pixels=names("pixels"),
            model=names("model"),
            spec_name=names("spec"),
            constant=identifiers(constants, "upper", "kotlin")[i],
            sizes=tuple((t.name, math.prod(t.shape)) for t in stage.outputs),
        )


def _shape(stage: Stage, output: str) -> tuple[int, ...]:
    return next(tensor.shape[1:] for tensor in stage.outputs if tensor.name == output)
