"""Orders of axes: how a tensor that is stored in one order is read in another.

An order is a tuple: axis `i` of what is read is axis `order[i]` of what is stored, as in
`torch.permute`.
"""

from __future__ import annotations

from dataclasses import dataclass

Order = tuple[int, ...]
Shape = tuple[int, ...]


def plain(rank: int) -> Order:
    """The order of a tensor that is read as it is stored."""
    return tuple(range(rank))


def inverse(order: Order) -> Order:
    """The order that undoes `order`.

    >>> inverse((0, 2, 3, 1))
    (0, 3, 1, 2)
    """
    return tuple(order.index(axis) for axis in range(len(order)))


def read(shape: Shape, order: Order) -> Shape:
    """The shape that is read where `shape` is stored.

    >>> read((1, 3, 8, 9), (0, 2, 3, 1))
    (1, 8, 9, 3)
    """
    return tuple(shape[axis] for axis in order)


def moves_nothing(shape: Shape, order: Order) -> bool:
    """Whether `order` moves only axes of one element, so that the values stay in their order."""
    kept = [axis for axis in order if shape[axis] != 1]
    return kept == sorted(kept)


@dataclass(frozen=True)
class Reshaped:
    """A reshape of what is read, done on what is stored: its new shape, and how to read it."""

    shape: Shape
    order: Order


def reshaped(stored: Shape, order: Order, target: Shape) -> Reshaped | None:
    """Reshape a tensor that is stored as `stored` and read in `order` to `target`.

    Both shapes are cut into the shortest runs of axes with as many elements. A run whose axes
    are neighbours in storage, in the order in which they are read, is reshaped there.

    Returns:
        None where no reshape of what is stored does it: the axes must be moved first.

    >>> reshaped((1, 8, 5, 6), (0, 2, 3, 1), (1, 30, 8))  # the pixels of a map become one axis
    Reshaped(shape=(1, 8, 30), order=(0, 2, 1))
    """
    source = [axis for axis in range(len(order)) if stored[order[axis]] != 1]
    wanted = [axis for axis in range(len(target)) if target[axis] != 1]
    runs = _runs([stored[order[axis]] for axis in source], [target[axis] for axis in wanted])
    places = sorted(order[axis] for axis in source)  # of the axes that hold something
    stored_runs = [([places.index(order[source[i]]) for i in a], b) for a, b in runs]
    if any(axes != list(range(axes[0], axes[0] + len(axes))) for axes, _ in stored_runs):
        return None
    in_storage = [wanted[i] for _, b in sorted(stored_runs) for i in b]
    return _with_axes_of_one(in_storage, target)


def _runs(source: list[int], target: list[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of positions of `source` and of `target`, each pair with the same product."""
    runs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(source):
        first, second = [i], [j]
        left, right = source[i], target[j]
        while left != right:
            if left < right:
                i += 1
                first.append(i)
                left *= source[i]
            else:
                j += 1
                second.append(j)
                right *= target[j]
        runs.append((first, second))
        i, j = i + 1, j + 1
    return runs


def _with_axes_of_one(in_storage: list[int], target: Shape) -> Reshaped:
    """Put the axes of one element in, each before the axis that it is read before."""
    stored = list(in_storage)
    for axis in reversed(range(len(target))):
        if target[axis] == 1:
            stored.insert(stored.index(axis + 1) if axis + 1 < len(target) else len(stored), axis)
    if in_storage == sorted(in_storage):
        stored = list(range(len(target)))
    return Reshaped(tuple(target[axis] for axis in stored), inverse(tuple(stored)))
