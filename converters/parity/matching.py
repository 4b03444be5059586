"""Which inner tensor of an artifact is which of the reference.

First by the names that converters keep of the weights; then by value, where two
tensors of one image are each other's best match; what is left, as everything
behind a broken layer may be, by the order of the operators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeskin.converters.parity.layout import Layout, layouts
from edgeskin.converters.parity.points import Point

Array = NDArray[Any]
SAMPLE = 4096
"""Values of a tensor that are looked at."""
ALIKE = 0.9
"""The least correlation that identifies a tensor; an SQNR of 7 dB leaves 0.9."""
_NEARLY = 0.05
_CLEARLY = 2.0
_DIGITS = 3


@dataclass(frozen=True)
class Match:
    """One tensor in both networks; `by` says how it was found."""

    reference: Point
    artifact: Point
    layout: Layout
    by: Literal["name", "values", "order"]


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
        found = x.reshape(-1)[self.places].astype(np.float64)
        power = float(np.sum(self.values.astype(np.float64) ** 2))
        return float(np.sum((self.values - found) ** 2)) / max(power, 1e-30)

    def correlation(self, x: Array) -> float:
        """With the values of `x` at the same places; 0 where either does not vary."""
        found = x.reshape(-1)[self.places].astype(np.float64)
        a, b = self.values - self.values.mean(dtype=np.float64), found - found.mean()
        norms = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / norms if norms > 0.0 else 0.0


class Matcher:
    """Points of both sides with one image's values; `match` pairs them.

    Args:
        samples: By name of the reference's points.
        values: By name of the artifact's, dequantized.
        nhwc: Whether the artifact's images have their channels last.
        variants: By name of a point, those that the artifact may have in its place.
        forms: The same of the artifact's points.
    """

    def __init__(
        self,
        known: Sequence[Point],
        found: Sequence[Point],
        samples: Mapping[str, Sample],
        values: Mapping[str, Array],
        nhwc: bool,
        variants: Mapping[str, Sequence[Point]],
        forms: Mapping[str, Sequence[Point]] | None = None,
    ):
        self.samples, self.values, self.nhwc = samples, values, nhwc
        self.variants, self.forms = variants, forms or {}
        self.known, self.found = list(known), list(found)
        self.matches: list[Match] = []

    def match(self) -> list[Match]:
        """In the order of the reference."""
        order = {point.name: index for index, point in enumerate(self.known)}
        for name, variants in self.variants.items():
            order |= dict.fromkeys((variant.name for variant in variants), order[name])
        self._add(_ends(self.known, self.found), "name")
        self._add(_by_name(self.known, self.found), "name")
        self._add(self._by_values(), "values")
        self._add(_by_order(self.known, self.found), "order")
        return sorted(self.matches, key=lambda match: order[match.reference.name])

    def _add(self, pairs: Iterator[tuple[Point, Point]], by: Any) -> None:
        for known, found in list(pairs):
            layout = self._fit(known, found)[1]
            self.matches.append(Match(*self._nearest(known, found, layout), layout, by))
            self.known.remove(known)
            self.found.remove(found)

    def _fit(self, known: Point, found: Point) -> tuple[float, Layout]:
        """How well the values agree, in the likeliest layout of those that nearly fit best."""
        sample, x = self.samples[known.name], self.values[found.name]
        ways = layouts(known.shape, found.shape, nhwc=self.nhwc)
        scores = [sample.correlation(np.ascontiguousarray(way.to_reference(x))) for way in ways]
        if not max(scores) >= ALIKE:  # nothing to go by: the likely one
            return max(scores), ways[0]
        best = next(i for i, score in enumerate(scores) if score >= max(scores) - _NEARLY)
        return scores[best], ways[best]

    def _nearest(self, known: Point, found: Point, layout: Layout) -> tuple[Point, Point]:
        """Both, or the variant and the form whose values are clearly nearer to each other."""
        ours = [found, *self.forms.get(found.name, ())]
        pairs = list(product([known, *self.variants.get(known.name, ())], ours))
        if len(pairs) == 1:
            return known, found
        errors = [self._error(*pair, layout) for pair in pairs]
        errors = [np.inf if np.isnan(e) else e for e in errors]
        return next(
            pair for pair, e in zip(pairs, errors, strict=True) if e <= _CLEARLY * min(errors)
        )

    def _error(self, known: Point, found: Point, layout: Layout) -> float:
        x = np.ascontiguousarray(layout.to_reference(self.values[found.name]))
        return self.samples[known.name].error(x)

    def _by_values(self) -> Iterator[tuple[Point, Point]]:
        scores = {
            (k, f): self._fit(known, found)[0]
            for k, known in enumerate(self.known)
            for f, found in enumerate(self.found)
            if _may_be(known, found)
        }
        far = {(k, f): abs(k / len(self.known) - f / len(self.found)) for k, f in scores}
        best_known = _best(scores, far, 0)
        best_found = _best(scores, far, 1)
        for k, f in best_known.items():
            if best_found[f] == k and scores[k, f] >= ALIKE:
                yield self.known[k], self.found[f]


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


def _may_be(known: Point, found: Point) -> bool:
    return known.kind == found.kind and bool(layouts(known.shape, found.shape))


def _ends(known: Sequence[Point], found: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """The input, and outputs of one name."""
    for k in known:
        for f in found:
            same = k.kind == "input" or k.path == f.name
            if k.kind in ("input", "output") and same and _may_be(k, f):
                yield k, f


def _by_name(known: Sequence[Point], found: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Products whose weights carry the same path, or one that ends in it; each used once."""
    claims: dict[Point, list[Point]] = defaultdict(list)
    for f in found:
        fits = [k for k in known if k.path and _ends_in(f.path, k.path) and _may_be(k, f)]
        if fits:
            claims[max(fits, key=lambda k: len(k.path))].append(f)
    for k, claimants in claims.items():
        if len(claimants) == 1 and [other.path for other in known].count(k.path) == 1:
            yield k, claimants[0]


def _ends_in(words: str, path: str) -> bool:
    return words == path or words.endswith(f"_{path}")


def _by_order(known: Sequence[Point], found: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Among those of one kind and shape, the first with the first, if both have as many."""
    groups: dict[Any, list[Point]] = defaultdict(list)
    for k in known:
        groups[k.kind, k.shape].append(k)
    taken: set[str] = set()
    for group in groups.values():
        fits = [f for f in found if f.name not in taken and _may_be(group[0], f)]
        if len(fits) == len(group):
            taken.update(f.name for f in fits)
            yield from zip(group, fits, strict=True)
