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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.artifacts import Metadata, read_metadata
from edgeskin.converters.audit import read_network
from edgeskin.converters.audit.network import Network, Tensor
from edgeskin.converters.parity.cut import open_cutter
from edgeskin.converters.parity.floors import layer_db
from edgeskin.converters.parity.layout import dequantize, layouts, quantize
from edgeskin.converters.parity.matching import Match, Matcher, Sample
from edgeskin.converters.parity.points import boundary, points
from edgeskin.converters.parity.reference import Model, need_network
from edgeskin.converters.parity.torch_graph import TorchGraph
from edgeskin.converters.parity.whole import same_model
from edgeskin.errors import InvalidArtifact
from edgeskin.preprocess import normalize
from edgeskin.runtimes import Session, open_session

Array = NDArray[Any]
Progress = Callable[[int, int], None]
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
    rounding: Agreement = field(default_factory=Agreement)


class Anatomy:
    """An artifact opened by layer beside its reference. Use as a context manager.

    Raises:
        InvalidArtifact: A type that cannot be taken apart, or no layer matches.
    """

    def __init__(
        self, artifact: Path, reference: TorchGraph, metadata: Metadata, probe: NDArray[np.uint8]
    ):
        """
        Args:
            probe: Pixels (H, W, 3); what is matched by value is matched on them.
        """
        self.artifact = artifact
        self.reference = reference
        self.metadata = metadata
        self.network = read_network(artifact)
        self.cutter = open_cutter(artifact, self.network)
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        with ExitStack() as undo:
            undo.push(self._stack)
            self._open(probe)
            undo.pop_all()

    def _open(self, probe: NDArray[np.uint8]) -> None:
        found = points(self.network, self.reference.points, integers=self.cutter.integers)
        (self.input,) = self.network.inputs
        wanted = [point.name for point in found if point.kind != "input"]
        self.whole = self._session([self.input], wanted, "whole")
        x, feed = self.inputs(probe)
        samples = {point.name: Sample.of(values) for point, values in self.reference.values(x)}
        values, nhwc = self._inner(feed), not self.network.qdq
        matcher = Matcher(
            self.reference.points, found, samples, values, nhwc, self.reference.variants
        )
        self.matches = matcher.match()
        sums = [point for point in matcher.found if point.kind == "add"]
        self.missing = [p.name for p in matcher.known if p.kind == "add" and not sums]
        self.layers = dict(self._layers())
        if not self.layers:
            raise InvalidArtifact(f"no layer of {self.artifact.name} is like one of the reference")
        matched = {match.artifact.name for match in self.matches}
        self.unmatched = [point for point in found if point.name not in matched]

    def inputs(self, pixels: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Pixels (H, W, 3) as the reference's input and as the artifact's."""
        if self.metadata.io == "app":
            return pixels[None], pixels[None]
        x = normalize(pixels, self.metadata.spec.input)
        tensor = held_as(self.network, self.input)
        way = layouts(x.shape, tensor.shape, nhwc=not self.network.qdq)[0]
        return x, quantize(way.to_artifact(x), tensor)

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Measure on one more image (H, W, 3)."""
        x, feed = self.inputs(pixels)
        found = self._inner(feed)
        known: dict[str, Array] = {}
        for point, values in self.reference.values(x):
            known[point.name] = values
            if (layer := self.layers.get(point.name)) is not None:
                candidate = layer.match.layout.to_reference(found.pop(layer.match.artifact.name))
                layer.whole.add(values, candidate)
                given, feeds = self.rounded(layer, known, feed)
                expected = self.reference.compute(point, given)
                layer.own.add(expected, self.run_alone(layer, feeds))
                if self.metadata.precision != "int8":
                    exact = self.reference.compute(point, given, torch.float64)
                    layer.rounding.add(exact, expected)

    def rounded(
        self, layer: Layer, known: Mapping[str, Array], feed: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The reference's values in front of a layer as its file can hold them: for both sides."""
        # All points before it: where the matches are wrong, both sides start at other ones.
        names = {match.reference.name for match in self.matches} - {layer.match.reference.name}
        given, feeds = {name: known[name] for name in names & known.keys()}, {}
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

    def _layers(self) -> Iterator[tuple[str, Layer]]:
        """All that is computed from earlier matches; what constants alone make is none."""
        earlier: dict[str, Match] = {}
        for number, match in enumerate(self.matches):
            name = match.artifact.name
            before = boundary(self.network, name, set(earlier))
            if match.artifact.kind != "input" and before:
                session = self._session(before, [name], str(number))
                yield match.reference.name, Layer(match, [earlier[n] for n in before], session)
            earlier[name] = match

    def _session(self, inputs: Sequence[str], outputs: Sequence[str], name: str) -> Session:
        path = self._folder / f"{name}{self.artifact.suffix}"
        self.cutter.cut(inputs, outputs, path)
        return self._stack.enter_context(open_session(path))

    def _row(self, layer: Layer) -> dict[str, Any]:
        rounding = layer.rounding.sqnr_db
        return {
            "name": layer.match.reference.name,
            "kind": layer.match.reference.kind,
            "tensor": layer.match.artifact.name,
            "by": layer.match.by,
            "sqnr_db": layer.whole.sqnr_db,
            "own_sqnr_db": layer.own.sqnr_db,
            "rounding_db": None if self.metadata.precision == "int8" else rounding,
            "floor_db": layer_db(
                self.metadata.precision,
                rounding,
                self.artifact.suffix,
                of_program=self.reference.quantized,
            ),
        }

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def document(self) -> dict[str, Any]:
        """`layers` from input to output, the first bad one, the worst ones, what has no match."""
        rows = [self._row(layer) for layer in self.layers.values()]
        bad = [row["name"] for row in rows if not row["own_sqnr_db"] >= row["floor_db"]]
        inner = [row for row in rows if row["kind"] != "output"]
        worst = sorted(inner, key=lambda row: _nan_first(row["own_sqnr_db"]))[:WORST]
        products = [p for p in self.unmatched if p.kind == "multiply"]
        matched = sum(row["kind"] == "multiply" for row in rows)
        return {
            "runtime": self.whole.runtime,
            "matched_products": f"{matched} of {matched + len(products)}",
            "unmatched": [point.name for point in self.unmatched],
            "missing_additions": self.missing,
            "first_bad": bad[0] if bad else None,
            "bad": bad,
            "worst": [row["name"] for row in worst],
            "layers": rows,
        }


def compare_layers(
    artifact: Path | str,
    reference: Model,
    pixels: NDArray[np.uint8],
    *,
    repro: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Both figures of every layer (see the module), image by image.

    Args:
        reference: A run or a program.
        pixels: uint8 (N, H, W, 3); what is matched by value is matched on the first.
        repro: A folder to write the first bad layer into, or the worst one.

    Returns:
        A document: `images`, `precision`, and what `Anatomy.document` says;
        `repro` where one was written.

    Raises:
        InvalidArtifact: Carries no spec, or no layer matches.
        InvalidRun: `reference` cannot be looked into.
    """
    path = Path(artifact)
    metadata = read_metadata(path)
    same_model(reference.spec, metadata.spec)
    graph = TorchGraph(need_network(reference), metadata.spec, metadata.io)
    with Anatomy(path, graph, metadata, pixels[0]) as anatomy:
        for done, image in enumerate(pixels, start=1):
            anatomy.add(image)
            if progress:
                progress(done, len(pixels))
        document = {
            "artifact": path.name,
            "reference": reference.name,
            "images": len(pixels),
            "precision": metadata.precision,
            **anatomy.document(),
        }
        if repro is not None:
            from edgeskin.converters.parity.repro import write_repro

            name = document["first_bad"] or document["worst"][0]
            document["repro"] = write_repro(anatomy, name, pixels[0], repro, force=force)
        return document


def explain_first_bad(document: Mapping[str, Any]) -> str:
    """What is known of a broken file, in a line: where it begins, and sums that are not there.

    "" where no layer is below its floor.
    """
    if document["first_bad"] is None:
        return ""
    row = next(row for row in document["layers"] if row["name"] == document["first_bad"])
    line = (
        f"layer {row['name']} agrees to {row['own_sqnr_db']:.1f} dB by itself, its floor is "
        f"{row['floor_db']:g} dB ({len(document['bad'])} are below theirs)"
    )
    if missing := document["missing_additions"]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        line += f"; the addition {missing[0]}{more} is not in the file: it has one input less"
    return line


def held_as(network: Network, name: str) -> Tensor:
    """The tensor `name`, with its grid where only its values' source says it."""
    tensor = network.tensors[name]
    if tensor.quantization is None and tensor.is_integer:
        return replace(tensor, quantization=network.stored(name).quantization)
    return tensor


def _nan_first(value: float) -> float:
    return value if value == value else float("-inf")
