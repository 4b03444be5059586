"""The report of results, written: the page, and beside it what other programs read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.pipeline_pack import PipelinePack, read_any_pack
from edgeskin.benchmarks.report.budget import Budget
from edgeskin.benchmarks.report.collect import collect
from edgeskin.benchmarks.report.file_layers import layers_of_results
from edgeskin.benchmarks.report.report_documents import Report
from edgeskin.benchmarks.report.report_page import report_page
from edgeskin.benchmarks.report.report_rows import report_on
from edgeskin.benchmarks.report.report_tables import csv_table, junit_report, markdown_summary
from edgeskin.errors import CannotWrite, InvalidPack, MissingPackage
from edgeskin.files import check_all_writable, write_texts
from edgeskin.progress import Progress, silent

_PACKAGES = ("jinja2", "matplotlib")


def report(
    results: Sequence[Path | str] | Path | str,
    out: Path | str,
    *,
    budget: Path | str | None = None,
    packs: Sequence[Path | str] = (),
    layers: Sequence[Path | str] = (),
    images: bool = True,
    csv: bool = False,
    junit: bool = False,
    markdown: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Report:
    """Write one page on any number of results of `bench`; all files appear, or none.

    Args:
        results: Files, and folders of them at any depth.
        out: The page, `.html`; what else is asked for is beside it, with its stem.
        budget: Limits; without one those of `edgeskin.toml` here, if there is one.
        packs: What results were measured on: with them the page shows decisions, probabilities
            and the worst images. A result's pack is told by its hash.
        layers: What `edgeskin verify --layers --json` printed of files that were measured.
        images: False: no image of a pack is in the page.
        csv, junit, markdown: What else to write.

    Returns:
        What the page says, as a document; its `verdict` is the worst of all.

    Raises:
        InvalidResult: None there, a damaged one, or one of another version; or `layers` are
            damaged, or of a file that no result is of.
        InvalidSpec: `budget` cannot be used.
        InvalidPack: A pack is damaged, or no result was measured on it.
        CannotWrite: An output exists and `force` is False, or `out` is no .html.
        MissingPackage: jinja2 or matplotlib.
    """
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingPackage(f"{package} is not installed: pip install 'edgeskin[report]'")
    targets = _targets(Path(out), csv=csv, junit=junit, markdown=markdown)
    check_all_writable(targets, force=force)
    limits = Budget.load(None if budget is None else Path(budget))
    found = collect([results] if isinstance(results, Path | str) else results, progress)
    by_layer = layers_of_results(map(Path, layers), [one.result for one in found])
    made = report_on(found, limits)
    opened = _packs(packs, made)
    page = report_page(made, found, opened, layers=by_layer, images=images, progress=progress)
    texts = {path: page if write is None else write(made) for path, write in targets.items()}
    write_texts(texts, force=force)
    return made


Writer = Callable[[Report], str]


def _targets(out: Path, *, csv: bool, junit: bool, markdown: bool) -> Mapping[Path, Writer | None]:
    """What writes each file; None: the page."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise CannotWrite(f"{out} is the name of no page: write --out report.html")
    others = {
        ".csv": (csv, csv_table),
        ".xml": (junit, junit_report),
        ".md": (markdown, markdown_summary),
    }
    asked = {out.with_suffix(end): write for end, (wanted, write) in others.items() if wanted}
    return {out: None, **asked}


def _packs(folders: Sequence[Path | str], made: Report) -> dict[str, Pack]:
    """The packs that results were measured on, by identity."""
    known = {row.pack for model in made.models for row in model.rows}
    found = {}
    for folder in folders:
        pack = read_any_pack(folder)
        identity = pack.end_sha256 if isinstance(pack, PipelinePack) else pack.sha256
        if identity not in known:
            raise InvalidPack(
                f"no result was measured on the pack {folder} (it is {identity[:16]}..., theirs "
                f"{', '.join(sorted(k[:16] for k in known)[:3])}...). "
                "Name the pack that was given to edgeskin bench."
            )
        found[identity] = pack
    return found
