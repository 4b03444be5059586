"""Which of a folder's files to ship to which destination, and why.

What is known stands in `advice.toml`, which can be mended without code; what was measured of the
files themselves stands in their manifest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from edgeskin.artifacts import ManifestEntry, read_manifest
from edgeskin.destinations import CPU, DESTINATIONS, find_destination
from edgeskin.document import Document
from edgeskin.errors import InvalidArtifact
from edgeskin.pipelines.pipeline_folder import is_pipeline

_COMPILED = "compiled"


class Kind(NamedTuple):
    """A kind of file: its format and precision, and whether it is compiled for a chip."""

    target: str
    precision: str
    compiled: bool = False

    def __str__(self) -> str:
        return " ".join((self.target, self.precision, *[_COMPILED] * self.compiled))


class Advice(Document):
    """What to ship to a destination.

    Attributes:
        wanted: Kinds of files in the order of preference, as in `advice.toml`.
        file: The one of the folder that comes first; None where it has none of them.
        why: Sentences with their sources.
        evidence: What was measured of the file, in sentences.
    """

    destination: str
    wanted: tuple[str, ...]
    file: str | None
    why: tuple[str, ...]
    evidence: tuple[str, ...] = ()


def advise(folder: Path | str, destinations: Sequence[str]) -> tuple[Advice, ...]:
    """What to ship of a folder that `edgeskin convert` wrote.

    Args:
        destinations: Names of `edgeskin.destinations`, such as "snapdragon:SM8750".

    Raises:
        UnknownName: No such destination.
        InvalidArtifact: The folder has no manifest of ours, or files of several models.
    """
    wanted = {text: find_destination(text) for text in destinations}
    entries = read_manifest(Path(folder))
    if not entries:
        raise InvalidArtifact(
            f"{folder} has no manifest.json with files: name a folder that edgeskin convert wrote"
        )
    present = {entry.sha256 for entry in entries.values()}
    entries = {  # those compiled from a file that is no more are of another program
        name: entry
        for name, entry in entries.items()
        if entry.compiled is None or entry.compiled.source_sha256 in present
    }
    models = sorted({name.rpartition(f"-{e.precision}")[0] for name, e in entries.items()})
    if len(models) > 1 or is_pipeline(Path(folder)):
        raise InvalidArtifact(
            f"{folder} holds several models ({', '.join(models)}): advise reads the files of one"
        )
    return tuple(
        _advice(text, one.destination.name, one.variant, entries) for text, one in wanted.items()
    )


def table() -> dict[str, tuple[tuple[Kind, ...], tuple[str, ...]]]:
    """`advice.toml`: by destination, kinds of files in order and sentences."""
    text = resources.files(__package__).joinpath("advice.toml").read_text(encoding="utf-8")
    known = {
        name: (tuple(map(_kind, row["files"])), tuple(row["why"]))
        for name, row in tomllib.loads(text).items()
    }
    return {name: known[name] for name in DESTINATIONS}


def _kind(text: str) -> Kind:
    target, precision, *rest = text.split()
    return Kind(target, precision, rest == [_COMPILED])


def _advice(text: str, name: str, chip: str, entries: Mapping[str, ManifestEntry]) -> Advice:
    kinds, why = table()[name]
    found = next(
        (
            (file, entry)
            for kind in kinds
            for file, entry in entries.items()
            if _fits(entry, kind, text, chip)
        ),
        None,
    )
    return Advice(
        destination=text,
        wanted=tuple(map(str, kinds)),
        file=found[0] if found else None,
        why=why,
        evidence=tuple(_evidence(found[1], text)) if found else (),
    )


def _fits(entry: ManifestEntry, kind: Kind, destination: str, chip: str) -> bool:
    """Whether a file is of a kind, and its destination's compiler has not refused it."""
    compiled = None if entry.compiled is None else entry.compiled.chip
    if (entry.target, entry.precision, compiled is not None) != kind:
        return False
    if compiled is not None:
        return compiled == chip
    tried = (entry.tried or {}).get(destination)
    if tried is not None and tried.accepted is False:
        return False
    wanted = find_destination(destination).destination
    if entry.precision == "int8" and wanted.schemes:
        return (entry.scales or {}).get("scheme") in wanted.schemes
    if wanted.name == CPU:
        return CPU in (entry.destinations or (CPU,))
    return entry.portable


def _evidence(entry: ManifestEntry, destination: str) -> Iterator[str]:
    if entry.compiled is not None:
        yield f"compiled for {entry.compiled.chip} by QAIRT {entry.compiled.sdk}"
    if (tried := (entry.tried or {}).get(destination)) is not None:
        parts = "whole" if tried.whole else f"in {tried.partitions} parts"
        yield f"taken {parts} by {tried.by}" if tried.accepted else f"not tried: {tried.reason}"
    for what, found in (entry.verification or {}).items():
        yield f"{found['sqnr_db']:.1f} dB beside the float model on {what}, on this machine"
    if entry.speed is not None and entry.speed.ratio is not None:
        ratio = entry.speed.ratio
        yield (
            f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] of float's time on one thread "
            f"of {entry.speed.machine}"
        )
