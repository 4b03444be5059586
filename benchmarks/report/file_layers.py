"""What `edgeskin verify --layers --json` prints: a file's layers beside the float model's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from edgeskin.benchmarks.result import ArtifactIdentity, BenchResult, PipelineResult
from edgeskin.document import PartialDocument
from edgeskin.errors import EdgeskinError, InvalidResult


class Layer(PartialDocument):
    """One layer: SQNR in decibels, infinite where all is equal and NaN where nobody knows.

    Attributes:
        tensor: In the file; `name` is the reference's.
        sqnr_db: Of all that was lost from the input to here; `own_sqnr_db` by the layer itself.
        floor_db: What `own_sqnr_db` must reach.
    """

    name: str
    tensor: str
    sqnr_db: float
    own_sqnr_db: float
    kind: str = ""
    floor_db: float | None = None


class FileLayers(PartialDocument):
    """The layers of `artifact`, a file's name, from input to output.

    Attributes:
        sha256: Of the file; None in documents of an earlier edgeskin.
        bad: Names of layers below their floors.
        images: How many they were compared on.
        runtime: What ran the file.
    """

    artifact: str
    reference: str
    layers: tuple[Layer, ...]
    sha256: str | None = None
    bad: tuple[str, ...] = ()
    images: int | None = None
    runtime: str = ""


def files_of(result: BenchResult) -> Iterator[ArtifactIdentity]:
    """The model file of a result; of a pipeline those of its stages."""
    if isinstance(result, PipelineResult):
        for stage in result.stages.values():
            yield stage.artifact
    else:
        yield result.artifact


def layers_of_results(paths: Iterable[Path], results: Sequence[BenchResult]) -> list[FileLayers]:
    """Documents of layers, each with the `sha256` of the file of a result that it is of.

    Raises:
        InvalidResult: One cannot be read, is damaged, has no layers, or is of no result's file.
    """
    known = {file.sha256: file for result in results for file in files_of(result)}
    return [_of_result(path, read_layers(path), known) for path in paths]


def _of_result(path: Path, report: FileLayers, known: Mapping[str, ArtifactIdentity]) -> FileLayers:
    of = f"{path} has layers of {report.artifact}"
    named = [one for one in known.values() if one.name == Path(report.artifact).name]
    if not named:
        names = list(dict.fromkeys(one.name for one in known.values()))
        more = ", ..." if len(names) > 3 else ""
        raise InvalidResult(f"{of}, the results are of {', '.join(names[:3])}{more}")
    fits = [one for one in named if report.sha256 in (None, one.sha256)]
    if not fits:
        theirs = ", ".join(f"{one.sha256[:16]}..." for one in named)
        raise InvalidResult(
            f"{of} with sha256 {str(report.sha256)[:16]}..., the results are of {theirs}"
        )
    if len(fits) > 1:
        raise InvalidResult(
            f"{of} and does not say which of {len(fits)} that are called so: run edgeskin verify "
            "--layers --json again"
        )
    return report.model_copy(update={"sha256": fits[0].sha256})


class _Verified(PartialDocument):
    layers: FileLayers | None = None


def read_layers(path: Path) -> FileLayers:
    """The layers of a document of `verify`, or a document of layers alone, as Python keeps them.

    Raises:
        InvalidResult: It cannot be read, is damaged or has no layers.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidResult(f"{path} cannot be read: {error.strerror}") from error
    report = None
    with suppress(EdgeskinError):
        report = FileLayers.from_json(text, where=path)
    report = report or _Verified.from_json(text, where=path).layers
    if report is None or not report.layers:
        raise InvalidResult(f"{path} has no layers: make it with edgeskin verify --layers --json")
    return report
