"""`edgeskin convert`: a run or a program to files, calibrating on the way where int8 is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgeskin.artifacts import Artifact, Io
from edgeskin.converters import PRECISIONS, check_precision
from edgeskin.converters.convert import convert
from edgeskin.converters.source import Source, find_source
from edgeskin.errors import InvalidData, UnknownName
from edgeskin.files import check_writable
from edgeskin.formats import FORMATS, find_format
from edgeskin.progress import Progress, silent


def convert_source(
    source: Path | str,
    out: Path | str,
    *,
    target: str = "all",
    precision: str | None = None,
    data: Path | str | None = None,
    samples: int = 256,
    method: str = "mse",
    io: str = "app",
    timeout_s: float = 900.0,
    force: bool = False,
    timing: bool = True,
    trust: bool = False,
    portable: bool = False,
    progress: Progress = silent,
) -> list[Artifact]:
    """Convert to one target and precision, or to all that the source can give.

    Args:
        target: A name of `FORMATS`, or `all`.
        precision: A name of `PRECISIONS`, or `all`; by default fp32 for a run
            and int8 for a program.
        data: Images to calibrate a run with, where int8 is asked; their train
            split is used. The program is not kept: `edgeskin calibrate` does that.
        timing: Time each INT8 file against float, for `Artifact.speed`.
        trust: Run the code that a run names, whoever wrote it.
        portable: Leave out rewrites that only this machine's CPU gains by, for NPUs and
            GPUs.

    Raises:
        UnknownName: No such target, precision or io.
        InvalidRun: All precisions of a program, which gives int8 only.
        EdgeskinError: As `convert` and `calibrate_run`.
    """
    if io not in ("app", "tensor"):
        raise UnknownName(f"no io '{io}'; there are app and tensor")
    source, out = Path(source), Path(out)
    origin = find_source(source)
    precisions = _precisions(origin, precision, data)
    targets = list(FORMATS) if target == "all" else [target]

    def run(program: Path | None) -> list[Artifact]:
        return convert(
            source,
            targets,
            precisions,
            out,
            program=program,
            io=_io(io),
            timeout_s=timeout_s,
            force=force,
            timing=timing,
            trust=trust,
            portable=portable,
            progress=progress,
        )

    if "int8" in origin.precisions or "int8" not in precisions or data is None:
        return run(None)
    _refuse_early(origin, targets, precisions, out, force)
    from edgeskin.calibration.from_run import calibrate_run

    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        program = Path(scratch) / "program.pt2"
        calibrate_run(
            source, data, program, method=method, samples=samples, trust=trust, progress=progress
        )
        return run(program)


def _refuse_early(
    origin: Source, targets: Sequence[str], precisions: Sequence[str], out: Path, force: bool
) -> None:
    """What `convert` refuses, before the minutes that calibration takes."""
    for precision in precisions:
        check_precision(precision)
    for target in map(find_format, targets):
        target.check_packages()
        for precision in precisions:
            check_writable(out / target.file_name(origin.spec().name, precision), force=force)


def _precisions(origin: Source, asked: str | None, data: Path | str | None) -> list[str]:
    given = origin.precisions
    if asked is None:
        return [given[0]]
    if asked != "all":
        return [asked]
    if given == ("int8",):
        raise origin.cannot_give("fp32")
    if "int8" not in given and data is None:
        raise InvalidData("all precisions of a run include int8: pass --data to calibrate with")
    return list(PRECISIONS)


def _io(name: str) -> Io:
    return "tensor" if name == "tensor" else "app"
