"""`edgeskin convert`: a model to files, imported and calibrated on the way where that is needed."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from edgeskin.artifacts import Artifact, Io, Precision, Target
from edgeskin.converters import PRECISIONS, check_precision
from edgeskin.converters.convert import convert_files
from edgeskin.converters.options import ConversionOptions
from edgeskin.converters.pipeline_convert import convert_pipeline
from edgeskin.converters.source import Source, find_source, is_foreign
from edgeskin.data.manifest import ImageData
from edgeskin.destinations import check_scheme, targets_for
from edgeskin.errors import InvalidData, InvalidSpec, PartlyConverted, UnknownName
from edgeskin.files import check_writable
from edgeskin.formats import FORMATS, find_format
from edgeskin.model_card import write_card
from edgeskin.pipelines.pipeline_folder import is_pipeline
from edgeskin.progress import Progress, silent
from edgeskin.sources.spec_answers import SpecAnswers
from edgeskin.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn


def convert(
    source: nn.Module | Path | str,
    out: Path | str = ".",
    *,
    target: Target | Literal["all"] = "all",
    precision: Precision | Literal["all"] | None = None,
    data: ImageData | Path | str | None = None,
    options: ConversionOptions = ConversionOptions(),
    spec: Spec | Path | str | None = None,
    weights: Path | str | None = None,
    example: Tensor | None = None,
    input_size: tuple[int, int] | None = None,
    answers: SpecAnswers = SpecAnswers(),
    say: Callable[[str], None] = warnings.warn,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> list[Artifact]:
    """Convert to one target and precision, or to all that the source can give.

    Args:
        source: A run, a program, or whatever `import_run` takes: it is imported on the way,
            and the run is not kept. Or a pipeline of runs, which gives pipelines.
        precision: By default fp32 for a run and int8 for a program.
        data: Images to calibrate a run with, where int8 is asked; their train
            split is used. The program is not kept: `edgeskin.calibrate` does that.
        spec: Of a source that is imported, as `import_run` takes it; by default the `spec.json`
            or `NAME.spec.json` that lies beside a file, else guessed from the model.
        weights: Of a network by name, `timm:NAME`: its state dict.
        example: What a module takes, float32 (1, 3, H, W): its size, and the look of its values
            where nobody says how pixels are normalised.
        input_size: Rows and columns of the image, where the source leaves them open.
        answers: What an imported source does not say.
        say: Is called with a line for each thing that was guessed about one.
        trust: Run the code that a run names, whoever wrote it.

    Raises:
        UnknownName: No such target, precision, io or destination.
        CannotExpress: A target that no destination takes, or a scheme that one does not.
        InvalidRun: All precisions of a program, which gives int8 only.
        InvalidSpec: Answers for a run or a program, which has a spec.
        EdgeskinError: As `convert_files` and `calibrate`.
    """
    if options.io not in get_args(Io):
        raise UnknownName(f"no io '{options.io}'; there are app and tensor")
    out = Path(out)
    every = target == "all"
    targets = list(FORMATS) if every else [find_format(target).name]
    targets = targets_for(options.destinations, targets, every=every)
    if isinstance(source, Path | str) and is_pipeline(source):
        unused = (spec, weights, example, input_size)
        if answers != SpecAnswers() or any(x is not None for x in unused):
            raise InvalidSpec(f"{source} is a pipeline, and its stages have their specs already")
        return convert_pipeline(
            Path(source),
            out,
            lambda run, place, images: convert(
                run,
                place,
                target=target,
                precision=precision,
                data=images,
                options=options,
                trust=trust,
                progress=progress,
            ),
            targets=targets,
            precisions=list(PRECISIONS) if precision == "all" else [precision or "fp32"],
            data=data,
            force=force,
            trust=trust,
            progress=progress,
        )
    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        if not isinstance(source, Path | str) or _is_imported(source):
            from edgeskin.sources.importing import import_run

            for name in targets:  # before the minutes that an import may take
                find_format(name).check_packages()
            path = Path(scratch) / "imported" / _name(source)
            report = import_run(
                source,
                spec if spec is not None else _spec_beside(source),
                path,
                weights=weights,
                answers=answers,
                example=example,
                input_size=input_size,
                data=data,
                trust=trust,
                progress=progress,
            )
            for line in report.guessed:
                say(line)
        else:
            path = Path(source)
            if answers != SpecAnswers():
                raise InvalidSpec(
                    f"{path} is a run or a program, and its spec says what it eats and says: "
                    "--labels, --license and the like are for what is imported"
                )
        origin = find_source(path)
        precisions = _precisions(origin, precision, data)
        program = None
        if "int8" in precisions and "int8" not in origin.precisions and data is not None:
            _refuse_early(origin, targets, precisions, out, options, force)
            from edgeskin.calibration.from_run import calibrate

            program = Path(scratch) / "program.pt2"
            calibrate(path, data, program, options.calibration, trust=trust, progress=progress)
        try:
            made = convert_files(
                path,
                targets,
                precisions,
                out,
                options,
                program=program,
                force=force,
                trust=trust,
                progress=progress,
            )
        except PartlyConverted:
            write_card(out, origin.spec())
            raise
        write_card(out, origin.spec())
        return made


def _is_imported(source: Path | str) -> bool:
    """Whether a path or a name must become a run first; what is missing is refused as a path."""
    path = Path(source)
    if path.exists():
        return is_foreign(path)
    from edgeskin.sources.by_name import is_name

    return is_name(str(source))


def _name(source: nn.Module | Path | str) -> str:
    if not isinstance(source, Path | str):
        return type(source).__name__
    return Path(str(source).rpartition(":")[2]).stem


def _spec_beside(source: nn.Module | Path | str) -> Path | None:
    """The spec that lies beside a model file: `NAME.spec.json`, or `spec.json`."""
    if not isinstance(source, Path | str):
        return None
    path = Path(source)
    places = (path.with_name(f"{path.stem}.spec.json"), path.with_name("spec.json"))
    return next((place for place in places if place.is_file()), None)


def _refuse_early(
    origin: Source,
    targets: Sequence[str],
    precisions: Sequence[str],
    out: Path,
    options: ConversionOptions,
    force: bool,
) -> None:
    """What `convert` refuses, before the minutes that calibration takes."""
    for precision in precisions:
        check_precision(precision)
    for target in map(find_format, targets):
        target.check_packages()
        check_scheme(options.destinations, target.name, options.calibration.scheme)
        for precision in precisions:
            check_writable(out / target.file_name(origin.spec().name, precision), force=force)


def _precisions(
    origin: Source, asked: str | None, data: ImageData | Path | str | None
) -> list[str]:
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
