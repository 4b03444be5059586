"""Results of `bench` on disk, read from files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeskin.benchmarks.result import (
    BenchResult,
    PipelineResult,
    Samples,
    read_document,
    result_from,
)
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
            found.append(_whole(Found(path, result_from(document, path))))
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


def _whole(found: Found) -> Found:
    """The result, and of a pipeline its stages, with something in every part that it has."""
    result = found.result
    stages = tuple(result.stages.values()) if isinstance(result, PipelineResult) else ()
    for part in (result, *stages):
        if (damage := _damage(part)) is not None:
            raise InvalidResult(f"{found.path} is damaged: {damage}. Measure it again")
    return found


def _damage(result: BenchResult) -> str | None:
    if not result.accuracy.agreement:
        return "no output of it is compared with the float model's"
    if (latency := result.latency) is None:
        return None
    if not latency.loads or not latency.memory_kb:
        return f"it was timed and has no {'memory' if latency.loads else 'load'}"
    return None if _are_times(latency.samples) else "its samples are no times"


def _are_times(samples: Samples) -> bool:
    """Whether there are queries, each with all of its times, and these are finite."""
    parts = (samples.at_ms, samples.read_ms, samples.pre_ms, samples.run_ms, samples.post_ms)
    queries = len(samples.run_ms)
    if not queries or {len(part) for part in (samples.image, *parts)} != {queries}:
        return False
    times = np.array(parts)
    return bool((np.isfinite(times) & (times >= 0)).all()) and min(samples.run_ms) > 0


def _is_result(document: object) -> bool:
    return isinstance(document, dict) and len(_FIELDS & document.keys()) > 1
