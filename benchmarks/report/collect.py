"""Results of `bench` on disk, read from files and folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.result import BenchResult, read_result
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
    files = list(dict.fromkeys(_files(map(Path, paths))))
    if not files:
        where = ", ".join(map(str, paths)) or "nothing"
        raise InvalidResult(
            f"{where}: no results there. A result is the .json that edgeskin bench writes"
        )
    found: list[Found] = []
    for path in files:
        progress("reading results", len(found), len(files))
        found.append(Found(path, read_result(path)))
    return found


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*.json")) if _is_result(file))
        else:
            yield path


def _is_result(path: Path) -> bool:
    """Whether a file of a folder is a result; one that is no JSON may be, and is read to say so."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidResult(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        return True
    return isinstance(document, dict) and len(_FIELDS & document.keys()) > 1
