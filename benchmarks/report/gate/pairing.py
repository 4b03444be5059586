"""Which new result belongs to which old one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.report.collect import Found
from edgeskin.benchmarks.report.gate.compare_documents import Unpaired
from edgeskin.benchmarks.report.report_documents import Row
from edgeskin.benchmarks.result import BenchResult
from edgeskin.errors import InvalidResult


@dataclass(frozen=True)
class Side:
    """A result of one side.

    Attributes:
        place: The path of the result from what was named: its name, or folders and its name.
        row: The same result as a row of the report.
    """

    found: Found
    place: Path
    row: Row

    @property
    def result(self) -> BenchResult:
        return self.found.result


def sides(root: Path, found: Sequence[Found], rows: Sequence[Row]) -> list[Side]:
    """The results of a file or folder with their rows, in the same order."""
    base = root if root.is_dir() else root.parent
    return [
        Side(one, one.path.relative_to(base), row) for one, row in zip(found, rows, strict=True)
    ]


def check_packs(old: Sequence[Side], new: Sequence[Side]) -> None:
    """Refuse results of one model that were measured on several packs.

    Raises:
        InvalidResult: With both packs.
    """
    first: dict[str, Side] = {}
    for side in (*old, *new):
        known = first.setdefault(side.row.model, side)
        if known.row.pack != side.row.pack:
            one, other = (
                f"{s.found.path} is of pack {s.row.pack[:12]} ({s.row.images} images)"
                for s in (known, side)
            )
            raise InvalidResult(
                f"{one}, {other}: what changed could be the images. Bench both on one pack"
            )


def pair(
    old: Sequence[Side], new: Sequence[Side]
) -> tuple[list[tuple[Side, Side]], list[Unpaired]]:
    """Results that belong together, in the order of the new ones, and those without a partner.

    Two belong together that alone are of one model, format, precision, file name, device and
    accelerator (with its threads); of several such, those in folders of the same name; and what
    is left over then, if it alone agrees in all but the file's name.

    Raises:
        InvalidResult: None belong together.
    """
    left = (list(old), list(new))
    pairs: list[tuple[Side, Side]] = []
    for key in (_by_name, _by_folder, _by_kind):
        for one, other in list(_alone(*left, key)):
            pairs.append((one, other))
            left[0].remove(one)
            left[1].remove(other)
    unpaired = [_unpaired("old", s, left[0], left[1]) for s in left[0]]
    unpaired += [_unpaired("new", s, left[1], left[0]) for s in left[1]]
    if not pairs:
        one, other = left[0][0], left[1][0]
        raise InvalidResult(
            f"no result of one side belongs to one of the other: old has {_kind(one)}, new has "
            f"{_kind(other)}. Two belong together that are of one model, format, precision, "
            "device and accelerator"
        )
    order = {id(side): i for i, side in enumerate(new)}
    return sorted(pairs, key=lambda pair: order[id(pair[1])]), unpaired


def _by_kind(side: Side) -> tuple[str, ...]:
    row = side.row
    return row.model, row.target, row.precision, row.device, side.result.engine.placed


def _by_name(side: Side) -> tuple[str, ...]:
    return *_by_kind(side), side.row.file


def _by_folder(side: Side) -> tuple[str, ...]:
    return *_by_name(side), side.place.parent.as_posix()


def _alone(
    old: Sequence[Side], new: Sequence[Side], key: Callable[[Side], tuple[str, ...]]
) -> Iterator[tuple[Side, Side]]:
    groups: dict[tuple[str, ...], tuple[list[Side], list[Side]]] = {}
    for i, found in enumerate((old, new)):
        for side in found:
            groups.setdefault(key(side), ([], []))[i].append(side)
    for one, other in groups.values():
        if len(one) == len(other) == 1:
            yield one[0], other[0]


def _unpaired(name: str, side: Side, own: Sequence[Side], others: Sequence[Side]) -> Unpaired:
    kind = _by_kind(side)
    alike = [s for s in (*own, *others) if _by_kind(s) == kind and s is not side]
    other = {"old": "new", "new": "old"}[name]
    why = f"nothing {other} is {_kind(side)}"
    if any(s in others for s in alike):
        why = f"{len(alike)} others are {_kind(side)} too: which belong together is not known"
    return Unpaired.model_validate(
        {
            "side": name, "result": side.place.as_posix(), "file": side.row.file,
            "device": side.row.device, "why": why,
        }
    )  # fmt: skip


def _kind(side: Side) -> str:
    row = side.row
    return f"{row.model} {row.target} {row.precision} on {row.device} ({side.result.engine.placed})"
