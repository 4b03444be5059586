"""One comparison by layer, in progress: an artifact's inner tensors beside the float model's.

Two figures a point, over all images together:

- `sqnr_db`: the artifact on the image against the reference on the image. It
  holds all that was lost from the input to here.
- `own_sqnr_db`: what the layer adds by itself. The part of the file between the
  nearest points before it and this one is run as a file of its own, on the
  reference's values there, rounded to what the file holds there; the reference
  computes the same part from the same rounded values. An error made earlier is
  therefore in neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.artifacts import Precision
from edgeskin.converters.parity.documents import LayerRow
from edgeskin.converters.parity.file_graph import FileGraph
from edgeskin.converters.parity.floors import ACCELERATOR_LAYER_DB, layer_db
from edgeskin.converters.parity.layout import dequantize, quantize
from edgeskin.converters.parity.matching import Match, Matcher, Sample
from edgeskin.converters.parity.parts import Parts
from edgeskin.converters.parity.points import Point, boundary, forms, points
from edgeskin.converters.parity.torch_graph import TorchGraph
from edgeskin.errors import InvalidArtifact, NotSupportedHere, RunFailed
from edgeskin.formats import format_of
from edgeskin.progress import Progress, silent
from edgeskin.runtimes import Session

Array = NDArray[Any]
Graph = TorchGraph | FileGraph
Image = tuple[Array, Array]
"""One image as the reference takes it and as the artifact does."""


@dataclass(frozen=True)
class Images:
    """`count` images, each made by its number, from 0, when it is needed."""

    count: int
    read: Callable[[int], Image]


@dataclass(frozen=True)
class Pair:
    """An artifact and its reference, opened, and the images that both are run on.

    `precision` is the artifact's, which sets what a layer must reach.
    """

    parts: Parts
    reference: Graph
    precision: Precision
    images: Images


@dataclass
class SummedNoise:
    """Power of the signal and the noise of one tensor, summed over images."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, reference: Array, candidate: Array) -> None:
        expected = reference.astype(np.float64)
        self.signal += float(np.sum(expected**2))
        self.noise += float(np.sum((expected - candidate) ** 2))

    @property
    def sqnr_db(self) -> float:
        return metrics.decibels(self.signal, self.noise)


@dataclass
class Layer:
    """One matched tensor; `inputs` are the matches that its part of the file starts from.

    `rounding` is the float32 reference against the float64 one. `refused` says why an accelerator
    does not run the part, for which there is no `session` then.
    """

    match: Match
    inputs: list[Match]
    session: Session | None
    refused: str = ""
    from_input: SummedNoise = field(default_factory=SummedNoise)
    own: SummedNoise = field(default_factory=SummedNoise)
    rounding: SummedNoise = field(default_factory=SummedNoise)


class LayerComparison:
    """The layers that an artifact and its reference both have; `add` measures them on an image.

    What is matched by value is matched on the first image.

    Attributes:
        session: The artifact with the tensors of all layers as outputs.
        layers: By the reference's names, from input to output.
        unmatched: Points of the artifact that are like none of the reference.
        missing_additions: Sums of the reference, where the artifact has none that is left.

    Raises:
        InvalidArtifact: No layer matches.
    """

    def __init__(self, pair: Pair, progress: Progress = silent):
        self.pair, self._progress = pair, progress
        self.parts, self.reference = pair.parts, pair.reference
        self.rounding_is_known = (
            pair.precision != "int8"
            and isinstance(pair.reference, TorchGraph)
            and not pair.reference.quantized
        )
        network = self.parts.network
        candidates = points(network, self.reference.points, integers=self.parts.cutter.integers)
        others = self._forms(candidates)
        every = [*candidates, *(form for alike in others.values() for form in alike)]
        inner = [point.name for point in every if point.kind != "input"]
        self.session = self.parts.open([self.parts.input], inner)
        matcher = self._matcher(candidates, others)
        self.matches = matcher.match()
        self.unmatched = matcher.artifact
        sums_left = any(point.kind == "add" for point in matcher.artifact)
        sums = [point.name for point in matcher.reference if point.kind == "add"]
        self.missing_additions = () if sums_left else tuple(sums)
        self.layers = dict(self._layers())
        if not self.layers:
            name = self.parts.path.name
            raise InvalidArtifact(f"no layer of {name} is like one of the reference")

    def _matcher(
        self, candidates: Sequence[Point], others: Mapping[str, Sequence[Point]]
    ) -> Matcher:
        x, feed = self.pair.images.read(0)
        samples = {point.name: Sample.of(values) for point, values in self.reference.values(x)}
        values, nhwc = self._inner_values(feed), not self.parts.network.qdq
        self._of_first = dict(values)
        self._outputs = {name: values[name] for name in self.parts.network.outputs}
        return Matcher(
            self.reference.points,
            candidates,
            samples,
            values,
            nhwc,
            self.reference.variants,
            others,
        )

    def add(self, number: int) -> None:
        """Measure every layer on one more image, by its number; each once."""
        x, feed = self.pair.images.read(number)
        inner = self._inner_values(feed) if number else self._of_first
        known: dict[str, Array] = {}
        for point, values in self.reference.values(x):
            known[point.name] = values
            if (layer := self.layers.get(point.name)) is not None:
                candidate = layer.match.layout.to_reference(inner.pop(layer.match.artifact.name))
                layer.from_input.add(values, candidate)
                if not layer.refused:
                    self._add_own(layer, known, feed)

    def _add_own(self, layer: Layer, known: Mapping[str, Array], feed: Array) -> None:
        point = layer.match.reference
        rounded, feeds = self.rounded(layer, known, feed)
        expected = self.reference.compute(point, rounded)
        try:
            layer.own.add(expected, self.run_alone(layer, feeds))
        except RunFailed as error:  # only elsewhere: of the accelerator's software
            layer.session, layer.refused = None, str(error)
            return
        if self.rounding_is_known:
            assert isinstance(self.reference, TorchGraph)
            exact = self.reference.compute(point, rounded, torch.float64)
            layer.rounding.add(exact, expected)

    def rounded(
        self, layer: Layer, known: Mapping[str, Array], feed: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The reference's values in front of a layer as its file can hold them: for both sides."""
        # All points before it: where the matches are wrong, both sides start at other ones.
        names = {match.reference.name for match in self.matches} - {layer.match.reference.name}
        rounded, feeds = {name: known[name] for name in names & known.keys()}, {}
        for match in layer.inputs:
            point, name = match.reference.name, match.artifact.name
            if match.artifact.kind == "input":
                rounded[point], feeds[name] = known[point], feed
                continue
            tensor = self.parts.held_as(name)
            feeds[name] = quantize(match.layout.to_artifact(known[point]), tensor)
            held = match.layout.to_reference(dequantize(feeds[name], tensor))
            rounded[point] = np.ascontiguousarray(held)
        return rounded, feeds

    def run_alone(self, layer: Layer, feeds: Mapping[str, Array]) -> Array:
        """What the layer's own part of the file makes of `feeds`, in the reference's layout."""
        name = layer.match.artifact.name
        assert layer.session is not None
        values = layer.session.run(feeds)[name]
        return layer.match.layout.to_reference(dequantize(values, self.parts.held_as(name)))

    def untouched_db(self) -> float:
        """SQNR, in decibels, of the outputs against those of the file without inner ones.

        Both run on the first image; a runtime may fuse otherwise where a tensor in between is read.
        """
        _, feed = self.pair.images.read(0)
        session = self.parts.open([self.parts.input], list(self._outputs))
        alone = self.parts.real(session.run({self.parts.input: feed}))
        noise = SummedNoise()
        for name, values in self._outputs.items():
            noise.add(alone[name], values)
        return noise.sqnr_db

    def _inner_values(self, feed: Array) -> dict[str, Array]:
        feeds = {self.parts.input: feed}
        return self.parts.real({**feeds, **self.session.run(feeds)})

    def _layers(self) -> Iterator[tuple[str, Layer]]:
        """All that is computed from earlier matches; what constants alone make is none."""
        earlier: dict[str, Match] = {}
        for number, match in enumerate(self.matches, 1):
            name = match.artifact.name
            before = boundary(self.parts.network, name, set(earlier))
            if match.artifact.kind != "input" and before:
                layer = Layer(match, [earlier[n] for n in before], None)
                try:
                    layer.session = self.parts.open(before, [name])
                except (NotSupportedHere, RunFailed) as error:  # only elsewhere
                    layer.refused = str(error)
                yield match.reference.name, layer
            earlier[name] = match
            self._progress("opening layers", number, len(self.matches))

    def _forms(self, candidates: Sequence[Point]) -> dict[str, list[Point]]:
        """Of products, by name; a `TorchGraph` has variants for all that a file may hold."""
        if isinstance(self.reference, TorchGraph):
            return {}
        network, integers = self.parts.network, self.parts.cutter.integers
        taken = {point.name for point in candidates}
        return {
            point.name: [
                replace(point, name=name)
                for name in forms(network, point.name, integers=integers)
                if name not in taken
            ]
            for point in candidates
            if point.kind == "multiply"
        }

    def row(self, layer: Layer) -> LayerRow:
        """The figures of a layer over all images so far."""
        match = layer.match
        rounding_db = layer.rounding.sqnr_db if self.rounding_is_known else None
        floor_db = layer_db(
            self.pair.precision,
            rounding_db,
            format_of(self.parts.path),
            of_program=self.reference.quantized,
        )
        if self.parts.elsewhere is not None:
            floor_db = min(floor_db, ACCELERATOR_LAYER_DB.get(self.pair.precision, floor_db))
        return LayerRow(
            name=match.reference.name,
            kind=match.reference.kind,
            tensor=match.artifact.name,
            by=match.by,
            sqnr_db=layer.from_input.sqnr_db,
            own_sqnr_db=math.nan if layer.refused else layer.own.sqnr_db,
            refused=layer.refused,
            rounding_db=rounding_db,
            floor_db=floor_db,
        )
