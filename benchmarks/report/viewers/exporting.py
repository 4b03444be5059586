"""Results for other people's viewers: Perfetto, Model Explorer, and whatever reads Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeskin.benchmarks.report.collect import collect
from edgeskin.benchmarks.report.viewers.node_data import write_node_data
from edgeskin.benchmarks.report.viewers.parquet_tables import RESULTS, SAMPLES, write_tables
from edgeskin.benchmarks.report.viewers.perfetto_trace import write_trace
from edgeskin.errors import UnknownName
from edgeskin.files import check_writable
from edgeskin.progress import Progress, silent


def export(
    results: Sequence[Path | str],
    *,
    perfetto: Path | str | None = None,
    parquet: Path | str | None = None,
    model_explorer: Path | str | None = None,
    artifacts: Iterable[Path | str] = (),
    layers: Iterable[Path | str] = (),
    force: bool = False,
    progress: Progress = silent,
) -> list[Path]:
    """Write results of `bench` as files of other tools.

    Args:
        results: Files, and folders that hold some.
        perfetto: The trace to write, of samples and sensors.
        parquet: The folder for `results.parquet` and `samples.parquet`.
        model_explorer: The folder for node data, a .json for each set of values.
        artifacts: Model files that `model_explorer` is about, and folders that hold them.
        layers: What `edgeskin verify --layers --json` printed, for `model_explorer`.

    Returns:
        The files that were written.

    Raises:
        UnknownName: Nothing is to be written, or `artifacts` are missing.
        InvalidResult: A result or a document of layers is damaged, or has nothing to be shown.
        InvalidArtifact: A model file is damaged.
        MissingPackage: perfetto, pyarrow, or what reads the model files.
        CannotWrite: A file exists and `force` is False, or the operating system refuses.
    """
    if perfetto is None and parquet is None and model_explorer is None:
        raise UnknownName("nothing to write: give --perfetto, --parquet or --model-explorer")
    if model_explorer is None and (layers := list(layers)):
        raise UnknownName(f"{layers[0]} is for Model Explorer: give --model-explorer FOLDER")
    tables = [] if parquet is None else [Path(parquet) / name for name in (RESULTS, SAMPLES)]
    for path in (*tables, *([] if perfetto is None else [Path(perfetto)])):
        check_writable(path, force=force)
    found, written = collect(results, progress), list[Path]()
    if model_explorer is not None:
        paths, documents = map(Path, artifacts), map(Path, layers)
        written += write_node_data(found, paths, documents, Path(model_explorer), force=force)
    if perfetto is not None:
        write_trace(found, Path(perfetto), force=force)
        written.append(Path(perfetto))
    if parquet is not None:
        write_tables(found, Path(parquet), force=force)
        written += tables
    return written
