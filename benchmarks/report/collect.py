"""Results of `bench` on disk, read from files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.result import BenchResult, read_document, result_from
from edgeskin.errors import InvalidResult
from edgeskin.progress import Progress, silent

_FIELDS = {"artifact", "pack", "device", "accuracy"}
"""What every result has, and no other document of edgeskin."""


@dataclass(frozen=True)
class Found:
    """A result, and the file that it was read from."""

    path: Path
    result: BenchResult


def collect(paths: Sequence[Path | str], progress: Progress = silent) -> list[Found]:
    """The results that files are, and all that lie in folders, at any depth, in order of path.

    Other JSON files of a folder (a manifest, a pack) are passed by; a file that is named must be
    a result.

    Raises:
        InvalidResult: No result at all; or one that is damaged, has parts missing, or is of
            another version.
    """
    files = dict(_files(map(Path, paths)))
    found: list[Found] = []
    for number, (path, named) in enumerate(files.items()):
        progress("reading results", number, len(files))
        document = read_document(path)
        if named or _is_result(document):
            found.append(Found(path, result_from(document, path)))
    if not found:
        where = ", ".join(map(str, paths)) or "nothing"
        raise InvalidResult(
            f"{where}: no results there. A result is the .json that edgeskin bench writes"
        )
    return found


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was named itself."""
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in sorted(path.rglob("*.json")))
        else:
            yield path, True


def _is_result(document: object) -> bool:
    return isinstance(document, dict) and len(_FIELDS & document.keys()) > 1
