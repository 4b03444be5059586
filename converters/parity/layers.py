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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.artifacts import Io, read_metadata
from edgeskin.converters.parity.compare import same_model
from edgeskin.converters.parity.file_graph import FileGraph
from edgeskin.converters.parity.floors import layer_db
from edgeskin.converters.parity.layout import dequantize, layouts, quantize
from edgeskin.converters.parity.matching import Match, Matcher, Sample
from edgeskin.converters.parity.parts import Parts
from edgeskin.converters.parity.points import Point, boundary, forms, points
from edgeskin.converters.parity.reference import Model, need_network
from edgeskin.converters.parity.torch_graph import TorchGraph
from edgeskin.errors import InvalidArtifact
from edgeskin.formats import format_of
from edgeskin.preprocess import normalize
from edgeskin.runtimes import Session
from edgeskin.spec import InputSpec

Array = NDArray[Any]
Progress = Callable[[int, int], None]
Graph = TorchGraph | FileGraph
Feed = tuple[Array, Array]
"""One image as the reference takes it and as the artifact does."""
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
    """An artifact opened by layer beside its reference.

    Raises:
        InvalidArtifact: No layer matches.
    """

    def __init__(self, parts: Parts, reference: Graph, precision: str, probe: Feed):
        """
        Args:
            parts: Of the artifact.
            precision: Of the artifact, which sets what a layer must reach.
            probe: What is matched by value is matched on it.
        """
        self.parts = parts
        self.reference = reference
        self.precision = precision
        self.rounding_is_known = (
            precision != "int8" and isinstance(reference, TorchGraph) and not reference.quantized
        )
        network = parts.network
        found = points(network, reference.points, integers=parts.cutter.integers)
        others = self._forms(found)
        every = [*found, *(form for made in others.values() for form in made)]
        self.whole = parts.open([parts.input], [p.name for p in every if p.kind != "input"])
        x, feed = probe
        samples = {point.name: Sample.of(values) for point, values in reference.values(x)}
        values, nhwc = self._inner(feed), not network.qdq
        matcher = Matcher(
            reference.points, found, samples, values, nhwc, reference.variants, others
        )
        self.matches = matcher.match()
        sums = [point for point in matcher.found if point.kind == "add"]
        self.missing = [p.name for p in matcher.known if p.kind == "add" and not sums]
        self.layers = dict(self._layers())
        if not self.layers:
            raise InvalidArtifact(f"no layer of {parts.path.name} is like one of the reference")
        self.unmatched = matcher.found

    def add(self, image: Feed) -> None:
        """Measure on one more image."""
        x, feed = image
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
                if self.rounding_is_known:
                    assert isinstance(self.reference, TorchGraph)
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
            name, tensor = match.artifact.name, self.parts.held_as(match.artifact.name)
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
        return layer.match.layout.to_reference(dequantize(found, self.parts.held_as(name)))

    def _inner(self, feed: Array) -> dict[str, Array]:
        given = {self.parts.input: feed}
        return self.parts.real({**given, **self.whole.run(given)})

    def _layers(self) -> Iterator[tuple[str, Layer]]:
        """All that is computed from earlier matches; what constants alone make is none."""
        earlier: dict[str, Match] = {}
        for match in self.matches:
            name = match.artifact.name
            before = boundary(self.parts.network, name, set(earlier))
            if match.artifact.kind != "input" and before:
                session = self.parts.open(before, [name])
                yield match.reference.name, Layer(match, [earlier[n] for n in before], session)
            earlier[name] = match

    def _forms(self, found: Sequence[Point]) -> dict[str, list[Point]]:
        """Of products, by name; a `TorchGraph` has variants for all that a file may hold."""
        if isinstance(self.reference, TorchGraph):
            return {}
        taken, integers = {point.name for point in found}, self.parts.cutter.integers
        return {
            point.name: [
                replace(point, name=name)
                for name in forms(self.parts.network, point.name, integers=integers)
                if name not in taken
            ]
            for point in found
            if point.kind == "multiply"
        }

    def _row(self, layer: Layer) -> dict[str, Any]:
        rounding = layer.rounding.sqnr_db if self.rounding_is_known else None
        return {
            "name": layer.match.reference.name,
            "kind": layer.match.reference.kind,
            "tensor": layer.match.artifact.name,
            "by": layer.match.by,
            "sqnr_db": layer.whole.sqnr_db,
            "own_sqnr_db": layer.own.sqnr_db,
            "rounding_db": rounding,
            "floor_db": layer_db(
                self.precision,
                rounding,
                format_of(self.parts.path),
                of_program=self.reference.quantized,
            ),
        }

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
        reference: A run, a program or a model file.
        pixels: uint8 (N, H, W, 3); what is matched by value is matched on the first.
        repro: A folder to write the first bad layer into, or the worst one.

    Returns:
        A document: `artifact`, `reference`, `images`, `precision`, what `Anatomy.document` says;
        `repro` where one was written.

    Raises:
        InvalidArtifact: Carries no spec, has more than one input, or no layer matches.
    """
    path = Path(artifact)
    metadata = read_metadata(path)
    same_model(reference.spec, metadata.spec)
    spec = metadata.spec
    with ExitStack() as stack:
        parts = stack.enter_context(Parts(path))
        graph: Graph
        if reference.file is None:
            graph, theirs = TorchGraph(need_network(reference), spec, metadata.io), None
            their_spec, their_io = spec, metadata.io
        else:
            theirs = stack.enter_context(Parts(reference.file))
            graph, their_spec, their_io = FileGraph(theirs), reference.spec, reference.io

        def feed(number: int) -> Feed:
            x = as_input(pixels[number], their_spec.input, their_io, theirs)
            return x, as_input(pixels[number], spec.input, metadata.io, parts)

        return measure(
            parts,
            graph,
            metadata.precision,
            feed,
            len(pixels),
            repro=repro,
            force=force,
            progress=progress,
        ) | {"reference": reference.name}


@np.errstate(over="ignore", invalid="ignore")  # values that are no numbers: the figures say so
def measure(
    parts: Parts,
    reference: Graph,
    precision: str,
    feed: Callable[[int], Feed],
    images: int,
    *,
    repro: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The document of `compare_layers` but for `reference`, after `images` images.

    Args:
        feed: Gives an image by its number, from 0; what is matched by value is matched on that.
    """
    anatomy = Anatomy(parts, reference, precision, feed(0))
    for number in range(images):
        anatomy.add(feed(number))
        if progress:
            progress(number + 1, images)
    document = {
        "artifact": parts.path.name,
        "images": images,
        "precision": precision,
        **anatomy.document(),
    }
    if repro is not None:
        from edgeskin.converters.parity.repro import write_repro

        name = document["first_bad"] or document["worst"][0]
        document["repro"] = write_repro(anatomy, name, feed(0), repro, force=force)
    return document


def as_input(pixels: NDArray[np.uint8], spec: InputSpec, io: Io, parts: Parts | None) -> Array:
    """Pixels (H, W, 3) as a file takes them, or as a torch network does."""
    if io == "app":
        return pixels[None]
    x = normalize(pixels, spec)
    if parts is None:
        return x
    tensor = parts.held_as(parts.input)
    way = layouts(x.shape, tensor.shape, nhwc=not parts.network.qdq)[0]
    return quantize(way.to_artifact(x), tensor)


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


def _nan_first(value: float) -> float:
    return value if value == value else float("-inf")
