"""A pipeline of runs becomes pipelines of files, each stage calibrated on what it really gets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edgeskin.artifacts import Artifact
from edgeskin.data.manifest import ImageData
from edgeskin.data.stage_data import stage_data
from edgeskin.errors import ConversionFailed, InvalidRun, PartlyConverted
from edgeskin.files import check_writable, folder
from edgeskin.formats import find_format, is_artifact
from edgeskin.pipelines.pipeline_folder import (
    SUFFIX,
    Pipeline,
    make_pipeline,
    read_pipeline,
    rules_of,
)
from edgeskin.progress import Progress, silent

Data = ImageData | Path | str | None
ConvertStage = Callable[[Path, Path, Data], list[Artifact]]
"""Converts a run (first) into a folder (second), to all targets and precisions that are wanted."""


def convert_pipeline(
    source: Path,
    out: Path,
    convert_stage: ConvertStage,
    *,
    targets: Sequence[str],
    precisions: Sequence[str],
    data: Data = None,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> list[Artifact]:
    """Write `out/NAME-PRECISION-TARGET.pipeline` for each precision and target.

    Args:
        data: To calibrate with, where int8 is asked: the first stage on these images, the last
            one on what the first run hands over of them.

    Returns:
        The stages' artifacts, at their places in the pipelines.

    Raises:
        InvalidRun: A stage is no run.
        ConversionFailed: A stage cannot be converted to one of the targets; logs are in `out`.
        CannotWrite: A pipeline exists and `force` is False.
    """
    pipeline = _of_runs(source)
    places = {
        (target, precision): out / f"{pipeline.spec.name}-{precision}-{target}{SUFFIX}"
        for target in targets
        for precision in precisions
    }
    for target in targets:
        find_format(target).check_packages()
    for place in places.values():
        check_writable(place, force=force)
    made: list[Artifact] = []
    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        last_data = data
        if data is not None and "int8" in precisions:
            last_data = Path(scratch) / "data"
            stage_data(source, data, last_data, with_masks=False, trust=trust, progress=progress)
        stages = [
            _convert(convert_stage, path, Path(scratch) / name, images, out)
            for name, path, images in zip(
                pipeline.names, pipeline.paths, (data, last_data), strict=True
            )
        ]
        for (target, precision), place in places.items():
            files = [_file(artifacts, target, precision) for artifacts in stages]
            paths = dict(zip(pipeline.names, [file.path for file in files], strict=True))
            joined = make_pipeline(rules_of(pipeline.spec), paths, place, force=force)
            made += _at(joined, files)
    return made


def _of_runs(source: Path) -> Pipeline:
    pipeline = read_pipeline(source)
    for name, path in zip(pipeline.names, pipeline.paths, strict=True):
        if is_artifact(path):
            raise InvalidRun(
                f"stage '{name}' of {source} is a file already: pass the pipeline of the runs"
            )
    return pipeline


def _convert(
    convert_stage: ConvertStage, run: Path, scratch: Path, data: Data, out: Path
) -> list[Artifact]:
    """A stage's artifacts; where one fails, its log is moved to where a person finds it."""
    try:
        return convert_stage(run, scratch, data)
    except (ConversionFailed, PartlyConverted) as error:
        failures = error.failures if isinstance(error, PartlyConverted) else [str(error)]
        with folder(out):
            for log in scratch.glob("*.log"):
                shutil.copyfile(log, out / log.name)
        lines = "; ".join(failures).replace(str(scratch), str(out))
        raise ConversionFailed(lines) from error


def _file(artifacts: Iterable[Artifact], target: str, precision: str) -> Artifact:
    return next(a for a in artifacts if (a.target, a.precision) == (target, precision))


def _at(pipeline: Pipeline, files: Sequence[Artifact]) -> list[Artifact]:
    pairs = zip(files, pipeline.paths, strict=True)
    return [file.model_copy(update={"path": path}) for file, path in pairs]
