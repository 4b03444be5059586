"""`edgeskin convert`: a run or a program to files, calibrating on the way where int8 is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from edgeskin.artifacts import Artifact, Io, Precision, Target
from edgeskin.converters import PRECISIONS, check_precision
from edgeskin.converters.convert import convert_files
from edgeskin.converters.options import ConversionOptions
from edgeskin.converters.source import Source, find_source
from edgeskin.errors import InvalidData, UnknownName
from edgeskin.files import check_writable
from edgeskin.formats import FORMATS, find_format
from edgeskin.progress import Progress, silent


def convert(
    source: Path | str,
    out: Path | str,
    *,
    target: Target | Literal["all"] = "all",
    precision: Precision | Literal["all"] | None = None,
    data: Path | str | None = None,
    options: ConversionOptions = ConversionOptions(),
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> list[Artifact]:
    """Convert to one target and precision, or to all that the source can give.

    Args:
        precision: By default fp32 for a run and int8 for a program.
        data: Images to calibrate a run with, where int8 is asked; their train
            split is used. The program is not kept: `edgeskin.calibrate` does that.
        trust: Run the code that a run names, whoever wrote it.

    Raises:
        UnknownName: No such target, precision or io.
        InvalidRun: All precisions of a program, which gives int8 only.
        EdgeskinError: As `convert_files` and `calibrate`.
    """
    if options.io not in get_args(Io):
        raise UnknownName(f"no io '{options.io}'; there are app and tensor")
    source, out = Path(source), Path(out)
    origin = find_source(source)
    precisions = _precisions(origin, precision, data)
    targets = list(FORMATS) if target == "all" else [target]

    def run(program: Path | None) -> list[Artifact]:
        return convert_files(
            source,
            targets,
            precisions,
            out,
            options,
            program=program,
            force=force,
            trust=trust,
            progress=progress,
        )

    if "int8" in origin.precisions or "int8" not in precisions or data is None:
        return run(None)
    _refuse_early(origin, targets, precisions, out, force)
    from edgeskin.calibration.from_run import calibrate

    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        program = Path(scratch) / "program.pt2"
        calibrate(source, data, program, options.calibration, trust=trust, progress=progress)
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
