"""Parity by layer: how far an artifact's inner tensors agree with the float model's.

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

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.converters.audit.network import Network, Tensor
from edgeskin.converters.parity.cut import open_cutter, open_part, read_network
from edgeskin.converters.parity.layout import dequantize, quantize
from edgeskin.converters.parity.matching import Match, Matcher, Sample
from edgeskin.converters.parity.points import boundary, points
from edgeskin.converters.parity.torch_graph import TorchGraph
from edgeskin.errors import InvalidArtifact
from edgeskin.runtimes import Session

Array = NDArray[Any]
Progress = Callable[[int, int], None]
FLOOR_DB = {"fp32": 60.0, "fp16": 30.0, "int8": 10.0}
"""A layer that agrees less by itself is bad, not imprecise: float32 rounding leaves over
100 dB, float16 over 50; eight bits leave 20 to 50 dB, of values that are mostly small 15."""
WORST = 5


@dataclass
class Agreement:
    """Signal and noise of one tensor, summed over images."""

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
    """One matched tensor; `inputs` are the matches that its part of the file starts from."""

    match: Match
    inputs: list[Match]
    session: Session
    whole: Agreement = field(default_factory=Agreement)
    own: Agreement = field(default_factory=Agreement)


class Anatomy:
    """An artifact opened by layer beside its reference. Use as a context manager.

    Raises:
        InvalidArtifact: A type that cannot be taken apart, or no layer matches.
    """

    def __init__(self, artifact: Path, reference: TorchGraph, probe: Mapping[str, Array]):
        """
        Args:
            probe: One input of each side, `reference` and `artifact`: what is
                matched by value is matched on it.
        """
        self.artifact = artifact
        self.reference = reference
        self.network = read_network(artifact)
        self.cutter = open_cutter(artifact, self.network)
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        with ExitStack() as undo:
            undo.push(self._stack)
            self._open(probe)
            undo.pop_all()

    def _open(self, probe: Mapping[str, Array]) -> None:
        found = points(self.network, self.reference.points, integers=self.cutter.integers)
        (self.input,) = self.network.inputs
        wanted = [point.name for point in found if point.kind != "input"]
        self.whole = self._session([self.input], wanted, "whole")
        samples = {
            point.name: Sample.of(x) for point, x in self.reference.values(probe["reference"])
        }
        values = self._inner(probe["artifact"])
        nhwc = not self.network.qdq
        self.matches = Matcher(self.reference.points, found, samples, values, nhwc).match()
        pairs = [match for match in self.matches if match.artifact.kind != "input"]
        if not pairs:
            raise InvalidArtifact(f"no layer of {self.artifact.name} is like one of the reference")
        self.layers = {match.reference.name: self._layer(match) for match in pairs}
        matched = {match.artifact.name for match in self.matches}
        self.unmatched = [point for point in found if point.name not in matched]

    def add(self, x: Array, feed: Array) -> None:
        """Measure on one more image: `x` for the reference, `feed` for the artifact."""
        found = self._inner(feed)
        known: dict[str, Array] = {}
        for point, values in self.reference.values(x):
            known[point.name] = values
            if (layer := self.layers.get(point.name)) is not None:
                candidate = layer.match.layout.to_reference(found.pop(layer.match.artifact.name))
                layer.whole.add(values, candidate)
                given, feeds = self.rounded(layer, known, feed)
                layer.own.add(self.reference.compute(point, given), self.run_alone(layer, feeds))

    def rounded(
        self, layer: Layer, known: Mapping[str, Array], feed: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The reference's values in front of a layer as its file can hold them: for both sides."""
        given, feeds = {}, {}
        for match in layer.inputs:
            name, tensor = match.artifact.name, held_as(self.network, match.artifact.name)
            if match.artifact.kind == "input":
                given[match.reference.name], feeds[name] = known[match.reference.name], feed
                continue
            feeds[name] = quantize(match.layout.to_artifact(known[match.reference.name]), tensor)
            held = match.layout.to_reference(dequantize(feeds[name], tensor))
            given[match.reference.name] = np.ascontiguousarray(held)
        return given, feeds

    def run_alone(self, layer: Layer, feeds: Mapping[str, Array]) -> Array:
        """What the layer's own part of the file makes of `feeds`, in the reference's layout."""
        name = layer.match.artifact.name
        found = layer.session.run(feeds)[name]
        return layer.match.layout.to_reference(dequantize(found, held_as(self.network, name)))

    def _inner(self, feed: Array) -> dict[str, Array]:
        found = {self.input: feed, **self.whole.run({self.input: feed})}
        return {name: dequantize(x, held_as(self.network, name)) for name, x in found.items()}

    def _layer(self, match: Match) -> Layer:
        by_name = {m.artifact.name: m for m in self.matches}
        before = boundary(self.network, match.artifact.name, set(by_name))
        name = match.artifact.name
        return Layer(
            match, [by_name[n] for n in before], self._session(before, [name], str(id(match)))
        )

    def _session(self, inputs: Sequence[str], outputs: Sequence[str], name: str) -> Session:
        path = self._folder / f"{name}{self.artifact.suffix}"
        self.cutter.cut(inputs, outputs, path)
        return self._stack.enter_context(open_part(path))

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def document(self, floor_db: float) -> dict[str, Any]:
        """`layers` from input to output, the first bad one, the worst ones, what has no match."""
        rows = [_row(layer) for layer in self.layers.values()]
        bad = [row["name"] for row in rows if not row["own_sqnr_db"] >= floor_db]
        inner = [row for row in rows if row["kind"] != "output"]
        worst = sorted(inner, key=lambda row: _nan_first(row["own_sqnr_db"]))[:WORST]
        products = [p for p in self.unmatched if p.kind == "multiply"]
        matched = sum(row["kind"] == "multiply" for row in rows)
        return {
            "runtime": self.whole.runtime,
            "floor_db": floor_db,
            "matched_products": f"{matched} of {matched + len(products)}",
            "unmatched": [point.name for point in self.unmatched],
            "first_bad": bad[0] if bad else None,
            "bad": bad,
            "worst": [row["name"] for row in worst],
            "layers": rows,
        }


def measure(
    artifact: Path,
    reference: TorchGraph,
    images: Iterable[tuple[Array, Array]],
    *,
    floor_db: float,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Both figures of every layer; see the module.

    Args:
        images: Pairs of inputs, of the reference and of the artifact; looked at
            one by one, the first one twice.

    Raises:
        InvalidArtifact: As `Anatomy`.
    """
    queue = iter(images)
    first = next(queue)
    with Anatomy(artifact, reference, {"reference": first[0], "artifact": first[1]}) as anatomy:
        anatomy.add(*first)
        progress(1)
        count = 1
        for count, pair in enumerate(queue, start=2):
            anatomy.add(*pair)
            progress(count)
        return {"images": count, **anatomy.document(floor_db)}


def held_as(network: Network, name: str) -> Tensor:
    """The tensor `name`, with its grid where only its values' source says it."""
    tensor = network.tensors[name]
    if tensor.quantization is None and tensor.is_integer:
        return replace(tensor, quantization=network.stored(name).quantization)
    return tensor


def _row(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.match.reference.name,
        "kind": layer.match.reference.kind,
        "tensor": layer.match.artifact.name,
        "by": layer.match.by,
        "sqnr_db": layer.whole.sqnr_db,
        "own_sqnr_db": layer.own.sqnr_db,
    }


def _nan_first(value: float) -> float:
    return value if value == value else float("-inf")
