"""Model cards on demand: of a folder of files or a pipeline, with what devices gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin.artifacts import read_manifest, read_metadata
from edgeskin.benchmarks.report.collect import Found, collect
from edgeskin.benchmarks.report.limits import all_groups
from edgeskin.benchmarks.report.report_documents import Row
from edgeskin.benchmarks.report.report_rows import rows_of_results
from edgeskin.benchmarks.report.result_cells import taken_text
from edgeskin.benchmarks.result import BenchResult
from edgeskin.card_page import page
from edgeskin.errors import InvalidArtifact, InvalidResult, InvalidSpec, UnknownName
from edgeskin.files import check_all_writable, write_texts
from edgeskin.hub_card import Measured, hub_card
from edgeskin.markdown_blocks import prose, table
from edgeskin.model_card import Card, change_cells, group_table, model_card
from edgeskin.pipelines.pipeline_card import pipeline_card
from edgeskin.pipelines.pipeline_folder import is_pipeline, read_pipeline
from edgeskin.printable import printable
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec


@dataclass(frozen=True)
class DeviceFigures:
    """What devices gave of the files of a card: blocks of Markdown, and the metrics alone."""

    blocks: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()


def card(
    folder: Path | str,
    *,
    model: str | None = None,
    results: Sequence[Path | str] = (),
    html: Path | str | None = None,
    hugging_face: Path | str | None = None,
    datasets: Sequence[str] = (),
    force: bool = False,
    progress: Progress = silent,
) -> str:
    """The model card of a folder of files, or of a pipeline, as it stands now.

    Args:
        model: Its name, where the folder has files of several.
        results: Of `bench`, files and folders, to be added; those of other files are left out.
        html: The page to write.
        hugging_face: The `README.md` to write, with the Hub's front matter.
        datasets: Identifiers of the Hub, of what the model was trained on; for `hugging_face`.

    Returns:
        The card in Markdown.

    Raises:
        InvalidArtifact: The folder has no manifest, or no file that it names.
        UnknownName: No such model, or several and none is named.
        InvalidResult: A result is damaged, or none is of a file of the folder.
        MissingPackage: huggingface_hub, for `hugging_face`.
        CannotWrite: A file exists and `force` is False, or the operating system refuses.
    """
    targets = [Path(path) for path in (html, hugging_face) if path is not None]
    check_all_writable(targets, force=force)
    made = read_card(Path(folder), model)
    devices = DeviceFigures()
    if results:
        devices = device_figures(made, folder, collect(results, progress))
    text = made.markdown(*devices.blocks)
    documents: dict[Path, str] = {}
    if html is not None:
        documents[Path(html)] = page(made.name, text)
    if hugging_face is not None:
        documents[Path(hugging_face)] = hub_card(
            made, more=devices.blocks, measured=devices.measured, datasets=datasets
        )
    write_texts(documents, force=force)
    return text


def read_card(folder: Path, model: str | None = None) -> Card:
    """The card of what lies in a folder; `model` chooses where there are several.

    Raises:
        InvalidArtifact: There is no file that a manifest names.
        UnknownName: `model` is none of them, or is needed.
    """
    if is_pipeline(folder):
        pipeline = read_pipeline(folder)
        return pipeline_card(folder, pipeline.spec, pipeline.specs)
    specs = dict(_specs(folder))
    if not specs:
        raise InvalidArtifact(
            f"{folder} has no file that a manifest.json names: a card is made of a folder that "
            "edgeskin convert wrote, or of a pipeline"
        )
    if model is None and len(specs) > 1:
        raise UnknownName(f"{folder} has files of {', '.join(specs)}: give --model")
    if model is not None and model not in specs:
        raise UnknownName(f"{folder} has no model '{model}', only {', '.join(specs)}")
    return model_card(folder, specs[model or next(iter(specs))])


def _specs(folder: Path) -> Iterator[tuple[str, Spec]]:
    """Of the files that the manifest names, by model; what cannot be read is passed by."""
    for name in read_manifest(folder):
        try:
            spec = read_metadata(folder / name).spec
        except (InvalidArtifact, InvalidSpec):
            continue
        yield spec.name, spec


def device_figures(made: Card, folder: Path | str, found: Sequence[Found]) -> DeviceFigures:
    """Results of the card's files, by hash.

    Raises:
        InvalidResult: None is of one of them.
    """
    hashes = {entry.sha256 for entry in made.files.values()}
    if is_pipeline(Path(folder)):
        hashes.add(read_pipeline(folder).sha256)
    ours = [one for one in found if one.result.artifact.sha256 in hashes]
    if not ours:
        names = ", ".join(dict.fromkeys(one.result.artifact.name for one in found))
        raise InvalidResult(
            f"no result is of a file of {folder}: they are of {names}, with other hashes"
        )
    results = [one.result for one in ours]
    blocks = _blocks(rows_of_results(ours), results)
    return DeviceFigures(tuple(blocks), tuple(_measured(results)))


def _blocks(rows: Sequence[Row], results: Sequence[BenchResult]) -> Iterator[str]:
    """Speed beside accuracy, and beside both what speaks against believing them."""
    columns = (
        "file", "device", "engine", "p50 ms", "p90 ms", "whole query p50 ms", "peak MB",
        "on the accelerator", "equal decisions", "SQNR dB",
    )  # fmt: skip
    yield f"## On devices\n{table(columns, map(_cells, rows))}"
    doubts = dict.fromkeys(
        f"- {_text(f'{row.file} on {row.device}: {doubt}')}" for row in rows for doubt in row.doubts
    )
    if doubts:
        yield "What speaks against these figures:\n\n" + "\n".join(doubts)
    for row, result in zip(rows, results, strict=True):
        yield from _accuracy(row, result)


def _cells(row: Row) -> tuple[str, ...]:
    times, why = row.times, row.no_times or "not timed"
    of_times: tuple[str, ...] = (why, "", "")
    if times is not None:
        of_times = tuple(map(_number, (times.p50_ms, times.p90_ms, times.whole_p50_ms)))
    equal = "" if row.equal_decisions is None else f"{row.equal_decisions:.1%}"
    return (
        row.file, f"{row.device} ({row.title})", row.engine, *of_times, _number(row.memory_mb, 1),
        taken_text(row), equal, f"{row.sqnr_db:.1f}",
    )  # fmt: skip


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _text(text: str) -> str:
    """What a result says, as one line without HTML."""
    return prose(printable(text))


def _accuracy(row: Row, result: BenchResult) -> Iterator[str]:
    """Drift of each metric from the float model to the device, then by group."""
    if not result.accuracy.metrics:
        return
    rows = [(name, *change_cells(metric)) for name, metric in result.accuracy.metrics.items()]
    columns = ("metric", "model", "device", "change", "95 % interval")
    yield (
        f"### {_text(f'{row.file} on {row.device}')}\nOn the {row.images} images of the pack "
        f"`{row.pack[:16]}`:\n\n{table(columns, rows)}"
    )
    for by, parts in all_groups(result).items():
        yield f"By {_text(by)}:\n\n{group_table(by, parts)}"


def _measured(results: Iterable[BenchResult]) -> Iterator[Measured]:
    for result in results:
        data = f"test pack {result.pack.sha256[:16]}"
        of = f"{result.artifact.name} on {result.device.name}"
        for name, metric in result.accuracy.metrics.items():
            yield Measured(name, metric.candidate, of, data)
