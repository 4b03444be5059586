"""The reference by layer: a model file, of whoever made it, run in parts on its own runtime."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.converters.parity.layout import quantize
from edgeskin.converters.parity.parts import Parts
from edgeskin.converters.parity.points import Point, boundary, forms, is_gate, points
from edgeskin.runtimes import Session

Array = NDArray[Any]
# Names of weights that a tool made up: in the next file, the number is another layer's.
_NUMBERED = re.compile(r"(arith_constant|tfl_pseudo_q?const|onnx__[A-Za-z]+_|const_fold_opt__)?\d*")

_CLAMPED = 6.0  # relu6(x + 3), of which a hard sigmoid is the sixth part


class FileGraph:
    """A file with the same points, values and answers as a `TorchGraph` has.

    A point is called as its tensor is; `variants` are what constants make of a product
    behind it. What has four axes is NCHW here, as it is in torch, whatever the file has.
    """

    quantized = False

    def __init__(self, parts: Parts):
        self.parts = parts
        self._nhwc = not parts.network.qdq
        inner = points(parts.network, [], integers=parts.cutter.integers)
        self.points = [self._known(point) for point in inner]
        self._factor: dict[str, float] = {}
        self._tensor = {point.name: point.name for point in self.points}
        self.variants = {
            point.name: list(self._forms(point))
            for point in self.points
            if point.kind == "multiply"
        }
        wanted = [name for name in self._tensor.values() if name != parts.input]
        self._session = parts.open([parts.input], list(dict.fromkeys(wanted)))
        self._alone: dict[tuple[str, ...], Session] = {}

    def values(self, x: Array) -> Iterator[tuple[Point, Array]]:
        """Each point with its values, float32, on one input of the file; variants behind theirs."""
        feeds = {self.parts.input: x}
        real = self.parts.real({**feeds, **self._session.run(feeds)})
        for base in self.points:
            for point in (base, *self.variants.get(base.name, ())):
                yield point, self._shown(point.name, real[self._tensor[point.name]])

    def compute(self, point: Point, known: Mapping[str, Array]) -> Array:
        """The values of `point` where those of the points `known` are as given."""
        name = self._tensor[point.name]
        at = {self._tensor[other]: (other, x) for other, x in known.items()}
        before = boundary(self.parts.network, name, set(at))
        feeds = {tensor: self._held(*at[tensor]) for tensor in before}
        part = (*before, name)
        if part not in self._alone:
            self._alone[part] = self.parts.open(before, [name])
        real = self.parts.real(self._alone[part].run(feeds))
        return self._shown(point.name, real[name])

    def _forms(self, point: Point) -> Iterator[Point]:
        """What a converter may have in the place of a product; see `points.forms`."""
        network = self.parts.network
        for tensor in forms(network, point.name, integers=self.parts.cutter.integers):
            if tensor in self._tensor:
                continue
            self._tensor[tensor] = tensor
            yield replace(point, name=tensor)
            if is_gate(network, tensor):
                name = f"{tensor} (times {_CLAMPED:g})"
                self._tensor[name], self._factor[name] = tensor, _CLAMPED
                yield replace(point, name=name)

    def _known(self, point: Point) -> Point:
        path = "" if _NUMBERED.fullmatch(point.path) else point.path
        if point.kind == "output":
            path = point.name
        n, *sizes = point.shape
        if self._nhwc and len(sizes) == 3:
            return replace(point, shape=(n, sizes[2], *sizes[:2]), path=path)
        return replace(point, path=path)

    def _shown(self, name: str, x: Array) -> Array:
        moved = x.transpose(0, 3, 1, 2) if self._nhwc and x.ndim == 4 else x
        return np.ascontiguousarray(moved * np.float32(self._factor.get(name, 1.0)))

    def _held(self, name: str, x: Array) -> Array:
        moved = x.transpose(0, 2, 3, 1) if self._nhwc and x.ndim == 4 else x
        tensor = self.parts.held_as(self._tensor[name])
        real = moved / np.float32(self._factor.get(name, 1.0))
        return np.ascontiguousarray(quantize(real, tensor))
