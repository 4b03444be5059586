"""Which inner tensor of an artifact is which of the reference.

Both networks compute one function, so that on one image corresponding tensors hold the
same values but for rounding. With noise that has nothing to do with the signal, an SQNR of
s dB leaves a correlation of 1 / sqrt(1 + 10**(-s / 10)): 0.91 at 7 dB, and more in any sound
file. Independent values correlate by 1 / sqrt(n), 0.016 of n = 4096; those of pictures have
more in common, so that a high correlation alone says little. A pair is taken where each is
the other's best: what has no partner, such as a product that a converter added, takes none
from a tensor that agrees with it better.

Three steps, each among what the ones before left:

1. names: inputs, outputs, and products whose weights kept their paths;
2. values: mutual best correlation, of the same kind of operator and sizes that fit;
3. order: what is left, as all may be behind a broken layer, where kinds and shapes are
   as many on both sides.

The second costs the most: of r and a tensors left, up to r * a correlations of 4096 values
for each layout that the sizes allow (one to six of an image, whose batch is 1).

What can be confused: a correlation sees neither scale nor offset, so that a product and what
a constant makes of it look alike. They are variants of one point, of which the one is taken
whose values are nearer. Sums to which a branch adds next to nothing no value tells apart, so that
of nearly equal partners the one at the same place in the network counts. A tensor that is
constant correlates with nothing, and is left to the order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeskin.converters.parity.layout import Layout, layouts
from edgeskin.converters.parity.points import Kind, Point

Array = NDArray[Any]
Step = Literal["name", "values", "order"]
SAMPLE = 4096
"""Values of a tensor that are looked at."""
ALIKE = 0.9
"""The least correlation that identifies a tensor; an SQNR of 7 dB leaves 0.9."""
_NEARLY = 0.05
_CLEARLY = 2.0
_DIGITS = 3


@dataclass(frozen=True)
class Match:
    """One tensor in both networks; `by` says which step paired them."""

    reference: Point
    artifact: Point
    layout: Layout
    by: Step


@dataclass(frozen=True)
class Sample:
    """Some of a tensor's values, and where they stand in it."""

    places: NDArray[np.int64]
    values: Array

    @classmethod
    def of(cls, x: Array) -> Sample:
        rng = np.random.default_rng(0)
        places = np.sort(rng.choice(x.size, min(x.size, SAMPLE), replace=False))
        return cls(places, x.reshape(-1)[places])

    def error(self, x: Array) -> float:
        """The power of the difference, relative to that of the values."""
        values = x.reshape(-1)[self.places].astype(np.float64)
        power = float(np.sum(self.values.astype(np.float64) ** 2))
        return float(np.sum((self.values - values) ** 2)) / max(power, 1e-30)

    def correlation(self, x: Array) -> float:
        """With the values of `x` at the same places; 0 where either does not vary."""
        values = x.reshape(-1)[self.places].astype(np.float64)
        a, b = self.values - self.values.mean(dtype=np.float64), values - values.mean()
        norms = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / norms if norms > 0.0 else 0.0


class Matcher:
    """Points of both sides with one image's values; `match` pairs them.

    Args:
        reference: Points of the reference, from input to output.
        artifact: Points of the artifact, in the order of its operators.
        samples: By name of the reference's points.
        values: By name of the artifact's, dequantized.
        nhwc: Whether the artifact's images have their channels last.
        variants: By name of a point, those that the artifact may have in its place.
        forms: The same of the artifact's points.

    Attributes:
        reference: What `match` left of the reference.
        artifact: What it left of the artifact.
    """

    def __init__(
        self,
        reference: Sequence[Point],
        artifact: Sequence[Point],
        samples: Mapping[str, Sample],
        values: Mapping[str, Array],
        nhwc: bool,
        variants: Mapping[str, Sequence[Point]],
        forms: Mapping[str, Sequence[Point]] | None = None,
    ):
        self.samples, self.values, self.nhwc = samples, values, nhwc
        self.variants, self.forms = variants, forms or {}
        self.reference, self.artifact = list(reference), list(artifact)
        self.matches: list[Match] = []

    def match(self) -> list[Match]:
        """In the order of the reference."""
        order = {point.name: index for index, point in enumerate(self.reference)}
        for name, variants in self.variants.items():
            order |= dict.fromkeys((variant.name for variant in variants), order[name])
        self._add(_ends(self.reference, self.artifact), "name")
        self._add(_by_name(self.reference, self.artifact), "name")
        self._add(self._by_values(), "values")
        self._add(_by_order(self.reference, self.artifact), "order")
        return sorted(self.matches, key=lambda match: order[match.reference.name])

    def _add(self, pairs: Iterator[tuple[Point, Point]], by: Step) -> None:
        for known, candidate in list(pairs):
            layout = self._fit(known, candidate)[1]
            self.matches.append(Match(*self._nearest(known, candidate, layout), layout, by))
            self.reference.remove(known)
            self.artifact.remove(candidate)

    def _fit(self, known: Point, candidate: Point) -> tuple[float, Layout]:
        """How well the values agree, in the likeliest layout of those that nearly fit best."""
        sample, x = self.samples[known.name], self.values[candidate.name]
        possible = layouts(known.shape, candidate.shape, nhwc=self.nhwc)
        scores = [
            sample.correlation(np.ascontiguousarray(layout.to_reference(x))) for layout in possible
        ]
        if not max(scores) >= ALIKE:  # nothing to go by: the likely one
            return max(scores), possible[0]
        best = next(i for i, score in enumerate(scores) if score >= max(scores) - _NEARLY)
        return scores[best], possible[best]

    def _nearest(self, known: Point, candidate: Point, layout: Layout) -> tuple[Point, Point]:
        """Both, or the variant and the form whose values are clearly nearer to each other."""
        alternatives = [candidate, *self.forms.get(candidate.name, ())]
        pairs = list(product([known, *self.variants.get(known.name, ())], alternatives))
        if len(pairs) == 1:
            return known, candidate
        errors = [self._error(*pair, layout) for pair in pairs]
        errors = [np.inf if np.isnan(e) else e for e in errors]
        return next(
            pair for pair, e in zip(pairs, errors, strict=True) if e <= _CLEARLY * min(errors)
        )

    def _error(self, known: Point, candidate: Point, layout: Layout) -> float:
        x = np.ascontiguousarray(layout.to_reference(self.values[candidate.name]))
        return self.samples[known.name].error(x)

    def _by_values(self) -> Iterator[tuple[Point, Point]]:
        scores = {
            (k, c): self._fit(known, candidate)[0]
            for k, known in enumerate(self.reference)
            for c, candidate in enumerate(self.artifact)
            if _may_be(known, candidate)
        }
        far = {(k, c): abs(k / len(self.reference) - c / len(self.artifact)) for k, c in scores}
        best_candidate = _best(scores, far, 0)
        best_known = _best(scores, far, 1)
        for k, c in best_candidate.items():
            if best_known[c] == k and scores[k, c] >= ALIKE:
                yield self.reference[k], self.artifact[c]


def _best(
    scores: Mapping[tuple[int, int], float], far: Mapping[tuple[int, int], float], side: int
) -> dict[int, int]:
    """The best partner of each on one side; of nearly equal ones, that at the same place.

    A residual branch that adds next to nothing leaves sums that no value tells apart.
    """
    best: dict[int, tuple[int, int]] = {}
    for pair, score in scores.items():
        known = best.setdefault(pair[side], pair)
        if (round(score, _DIGITS), -far[pair]) > (round(scores[known], _DIGITS), -far[known]):
            best[pair[side]] = pair
    return {mine: pair[1 - side] for mine, pair in best.items()}


def _may_be(known: Point, candidate: Point) -> bool:
    return known.kind == candidate.kind and bool(layouts(known.shape, candidate.shape))


def _ends(reference: Sequence[Point], artifact: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """The input, and outputs of one name."""
    for known in reference:
        for candidate in artifact:
            same = known.kind == "input" or known.path == candidate.name
            if known.kind in ("input", "output") and same and _may_be(known, candidate):
                yield known, candidate


def _by_name(
    reference: Sequence[Point], artifact: Sequence[Point]
) -> Iterator[tuple[Point, Point]]:
    """Products whose weights carry the same path, or one that ends in it; each used once."""
    claims: dict[Point, list[Point]] = defaultdict(list)
    for candidate in artifact:
        fits = [
            known
            for known in reference
            if known.path and _ends_in(candidate.path, known.path) and _may_be(known, candidate)
        ]
        if fits:
            claims[max(fits, key=lambda known: len(known.path))].append(candidate)
    paths = Counter(known.path for known in reference)
    for known, claimants in claims.items():
        if len(claimants) == 1 and paths[known.path] == 1:
            yield known, claimants[0]


def _ends_in(words: str, path: str) -> bool:
    return words == path or words.endswith(f"_{path}")


def _by_order(
    reference: Sequence[Point], artifact: Sequence[Point]
) -> Iterator[tuple[Point, Point]]:
    """Among those of one kind and shape, the first with the first, if both have as many."""
    groups: dict[tuple[Kind, tuple[int, ...]], list[Point]] = defaultdict(list)
    for known in reference:
        groups[known.kind, known.shape].append(known)
    taken: set[str] = set()
    for group in groups.values():
        fits = [c for c in artifact if c.name not in taken and _may_be(group[0], c)]
        if len(fits) == len(group):
            taken.update(c.name for c in fits)
            yield from zip(group, fits, strict=True)
