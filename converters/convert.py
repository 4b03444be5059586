"""Conversions side by side, targets in processes of their own; each file appears whole, or not."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin.artifacts import Artifact, ManifestEntry, read_manifest, write_manifest
from edgeskin.conversion import Conversion
from edgeskin.converters import check_precision
from edgeskin.converters.options import ConversionOptions
from edgeskin.converters.process import Process
from edgeskin.converters.source import Source, find_source
from edgeskin.converters.worker import Request
from edgeskin.destinations import CPU, check_scheme, destinations_of, is_portable
from edgeskin.errors import (
    CannotWrite,
    ConversionFailed,
    EdgeskinError,
    PartlyConverted,
    UnknownName,
)
from edgeskin.files import (
    check_writable,
    folder,
    locked,
    open_to_readers,
    sha256,
    size_bytes,
    writing,
)
from edgeskin.formats import Format, find_format
from edgeskin.progress import Progress, silent


@dataclass(frozen=True)
class _Order:
    """One file to make."""

    origin: Source
    target: Format
    precision: str
    path: Path
    destinations: tuple[str, ...]
    """Where it is to run."""

    @property
    def portable(self) -> bool:
        return is_portable(self.destinations)


@dataclass(frozen=True)
class _Desk:
    """What all orders of one call have in common."""

    options: ConversionOptions
    scratch: Path
    threads: int
    run: str
    trust: bool

    def processes(self, orders: Sequence[_Order]) -> list[Process]:
        """The orders in worker processes, not started yet: one for all files of a target."""
        last: dict[str, Process] = {}
        made: list[Process] = []
        for order in orders:
            made.append(self._process(order, last.get(order.target.name)))
            last[order.target.name] = made[-1]
        return made

    def _process(self, order: _Order, after: Process | None) -> Process:
        fresh = self.scratch / order.path.name
        request = Request(
            source=str(order.origin.path),
            target=order.target.name,
            precision=order.precision,
            io=self.options.io,
            path=str(fresh),
            answer=f"{fresh}.json",
            log=str(order.path.with_name(f"{order.path.name}.log")),
            threads=self.threads,
            timing=self.options.timing,
            float_source=self.run,
            trust=self.trust,
            portable=order.portable,
            cpu_cost=self.options.timing and order.portable and CPU in order.destinations,
        )
        return Process(request, timeout_s=self.options.timeout_s, after=after)


def convert_files(
    source: Path,
    targets: Sequence[str],
    precisions: Sequence[str],
    out: Path,
    options: ConversionOptions = ConversionOptions(),
    *,
    program: Path | None = None,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> list[Artifact]:
    """Convert a run (fp32, fp16) or a program (int8) to every target and precision.

    Args:
        source: A run folder or a `.pt2` program.
        targets: Names of `edgeskin.formats.FORMATS`.
        precisions: Names of `PRECISIONS` that the source can give.
        out: Folder for `NAME-PRECISION.SUFFIX` and `manifest.json`; files of
            earlier conversions stay, and stay in the manifest.
        program: What gives int8 where `source` is a run.
        force: Replace files that exist.
        trust: Run the code that a run names, whoever wrote it.
        progress: Called with ("converting, FILE", files done, files in all).

    Raises:
        UnknownName, InvalidRun, MissingPackage, CannotExpress, CannotWrite: Before
            any work.
        NotTrusted: A run names a factory that needs `trust`.
        ConversionFailed: A converter refused, crashed, took too long, or wrote a
            wrong file. Its log stays in `out`.
        PartlyConverted: That happened to some of several files; the others are there.
    """
    origins, out = [find_source(path) for path in (source, program) if path], Path(out)
    orders = _orders(origins, targets, precisions, out, options.destinations)
    for order in orders:
        check_writable(order.path, force=force)
    read_manifest(out)  # refuse a damaged one now, not after the work
    with folder(out):
        with writing(out):
            scratch = Path(tempfile.mkdtemp(prefix=".edgeskin-", dir=out))
        try:
            workers = options.workers or os.cpu_count() or 1
            run = next((str(o.path) for o in origins if o.kind == "run"), "")
            desk = _Desk(options, scratch, max(1, (os.cpu_count() or 1) // workers), run, trust)
            answers = run_all(desk.processes(orders), workers, progress)
            made = [
                (order, answer)
                for order, answer in zip(orders, answers, strict=True)
                if isinstance(answer, Conversion)
            ]
            failures = [answer for answer in answers if isinstance(answer, EdgeskinError)]
            lines = list(dict.fromkeys(map(str, failures)))
            if not made:
                raise failures[0] if len(lines) == 1 else ConversionFailed("; ".join(lines))
            with writing(out):
                artifacts = _publish(made, options, scratch, out, force)
            if failures:
                raise PartlyConverted("; ".join(lines), artifacts, lines)
            return artifacts
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _orders(
    origins: Sequence[Source],
    targets: Sequence[str],
    precisions: Sequence[str],
    out: Path,
    destinations: Sequence[str],
) -> list[_Order]:
    for precision in precisions:
        check_precision(precision)
    found = [find_format(name) for name in dict.fromkeys(targets)]
    if not found or not precisions:
        raise UnknownName("nothing to convert: name at least one target and one precision")
    for target in found:
        target.check_packages()
    givers = {precision: _giver(origins, precision) for precision in dict.fromkeys(precisions)}
    for origin in givers.values():
        if scheme := origin.scheme():
            for target in found:
                target.check_scheme(scheme)
                check_scheme(destinations, target.name, scheme)
    name = origins[0].spec().name
    return [
        _Order(
            origin,
            target,
            precision,
            out / target.file_name(name, precision),
            destinations_of(destinations, target.name),
        )
        for precision, origin in givers.items()
        for target in found
    ]


def _giver(origins: Sequence[Source], precision: str) -> Source:
    """The source that can give `precision`."""
    for origin in origins:
        if precision in origin.precisions:
            return origin
    raise origins[0].cannot_give(precision)


def run_all(
    processes: Sequence[Process], workers: int, progress: Progress = silent
) -> list[Conversion | EdgeskinError]:
    """Run at most `workers` at a time; the answer of each, or why it has none.

    Those that follow others begin when these are done, and before those that wait for a worker.
    Ctrl-C and a disk that cannot be written end them all.
    """
    waiting, running, done = list(processes), list[Process](), 0
    failed: dict[int, EdgeskinError] = {}
    try:
        while waiting or running:
            while len(running) < workers and (process := _next(waiting, running)):
                waiting.remove(process)
                running.append(process)  # first: Ctrl-C may come while it starts
                process.start()
            for process in list(running):
                try:
                    if not process.finished():
                        continue
                except CannotWrite:
                    raise
                except EdgeskinError as error:
                    failed[id(process)] = error
                running.remove(process)
                done += 1
                progress(f"converting, {process.name}", done, len(processes))
            time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()
    return [failed.get(id(process)) or process.answer() for process in processes]


def _next(waiting: Sequence[Process], running: Sequence[Process]) -> Process | None:
    """What may start: it follows one that is done, or none."""
    busy = {id(process) for process in (*waiting, *running)}
    free = [process for process in waiting if id(process.after) not in busy]
    return next((process for process in free if process.after), next(iter(free), None))


def _publish(
    made: Sequence[tuple[_Order, Conversion]],
    options: ConversionOptions,
    scratch: Path,
    out: Path,
    force: bool,
) -> list[Artifact]:
    """Name the files in the manifest, then move them to their places: quick renames, no more."""
    artifacts = [
        _describe(order, answer, options, scratch / order.path.name) for order, answer in made
    ]
    with locked(out):
        for artifact in artifacts:  # another conversion may have been here meanwhile
            check_writable(artifact.path, force=force)
        entries = _without_compiled(read_manifest(out), artifacts, out)
        entries |= {artifact.path.name: artifact.entry() for artifact in artifacts}
        for artifact in artifacts:
            _replace(scratch / artifact.path.name, artifact.path, scratch)
        write_manifest(out, entries)
    return artifacts


def _without_compiled(
    entries: Mapping[str, ManifestEntry], artifacts: Sequence[Artifact], out: Path
) -> dict[str, ManifestEntry]:
    """The entries without those compiled for a chip from files that are replaced; nor the files."""
    replaced = {entries[a.path.name].sha256 for a in artifacts if a.path.name in entries}
    gone = [n for n, e in entries.items() if e.compiled and e.compiled.source_sha256 in replaced]
    for name in gone:
        (out / name).unlink(missing_ok=True)
    return {name: entry for name, entry in entries.items() if name not in gone}


def _describe(
    order: _Order, answer: Conversion, options: ConversionOptions, fresh: Path
) -> Artifact:
    open_to_readers(fresh)
    return Artifact(
        path=order.path,
        target=order.target.name,
        precision=order.precision,
        io=options.io,
        sha256=sha256(fresh),
        size_bytes=size_bytes(fresh),
        warnings=tuple((answer.scales or {}).get("warnings", ())),
        destinations=order.destinations,
        **{name: value for name, value in answer if name != "timing_s"},
    )


def _replace(fresh: Path, target: Path, scratch: Path) -> None:
    if target.exists():
        os.replace(target, scratch / f"{target.name}.old")
    os.replace(fresh, target)
