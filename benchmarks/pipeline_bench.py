"""Pipelines on devices: each stage runs there, and is timed there; the host joins them between.

The first stage runs on the pack's images. Its outputs come back, and the host makes pictures of
them by the native core, the code that an app calls. The pictures of every image that the float
pipeline answers, too, travel as a pack of their own, which the last stage runs on.

What is finished is kept under `.parts` of the results' folder until the result is whole.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgeskin import files, native
from edgeskin.benchmarks import accuracy
from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.bench import bench_all, result_path
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.pack import Entry, Pack, Subject
from edgeskin.benchmarks.pipeline_pack import PipelinePack
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.benchmarks.result import (
    ArtifactIdentity,
    BenchResult,
    JoinTime,
    PackIdentity,
    PipelineResult,
    read_result,
)
from edgeskin.benchmarks.setup import Choice
from edgeskin.errors import InvalidPack, NotSupportedHere, RunFailed
from edgeskin.formats import is_artifact
from edgeskin.pipelines.handover import count_statuses, equal_statuses, mean_by
from edgeskin.pipelines.joins import join_image
from edgeskin.pipelines.pipeline_folder import Pipeline, read_pipeline
from edgeskin.postprocess import rows_of
from edgeskin.progress import Progress, silent
from edgeskin.subgroups import answered_by_groupings, part_of
from edgeskin.version import __version__


def open_all(pipelines: Sequence[Path | str], pack: PipelinePack) -> list[Pipeline]:
    """Pipelines that the pack is of.

    Raises:
        InvalidPack, InvalidArtifact, InvalidSpec: One is not, or is no pipeline of files.
    """
    opened = [read_pipeline(path) for path in pipelines]
    for pipeline in opened:
        _check(pipeline, pack)
    return opened


@dataclass(frozen=True)
class _Desk:
    """What the stages of one run have in common."""

    device: Device
    folder: Path
    protocol: Protocol | None
    choice: Choice | None
    progress: Progress

    def run(self, artifact: Path, pack: Pack) -> tuple[BenchResult, dict[str, NDArray[Any]]]:
        """A stage's result and outputs; what is known of an earlier try is not run again."""
        path = result_path(self.folder, self.device.name, artifact)
        result = _kept(path, files.sha256(artifact), pack, self.protocol)
        if result is None:
            [result] = bench_all(
                [artifact],
                pack,
                self.device,
                self.folder,
                protocol=self.protocol,
                choice=self.choice,
                force=True,
                progress=self.progress,
            )
        with np.load(path.with_suffix(".npz")) as stored:
            return result, dict(stored)


def bench_pipeline(
    pipeline: Pipeline,
    pack: PipelinePack,
    device: Device,
    out: Path,
    *,
    protocol: Protocol | None,
    choice: Choice | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> PipelineResult:
    """Run both stages on a device and write `out/DEVICE--PIPELINE.json`.

    Args:
        protocol: How to measure each stage's latency; None: accuracy only.

    Raises:
        DeviceError: The device or the runner failed, or no image is answered there. Run again to
            go on where it broke off.
        InvalidPack, NotSupportedHere, CannotWrite: Before anything is sent.
    """
    _check(pipeline, pack)
    protocol = None if device.probe().simulated else protocol
    target = result_path(out, device.name, pipeline.folder)
    files.check_writable(target, force=force)
    parts = out / ".parts" / f"{target.stem}-{_key(pipeline, pack, choice)}"
    with files.folder(out):
        parts.mkdir(parents=True, exist_ok=True)
        desk = _Desk(device, parts, protocol, choice, progress)
        result, end = _run(pipeline, pack, desk)
        stored = parts / "end.npz"
        np.savez(stored, **cast(Mapping[str, Any], end))
        stored.replace(target.with_suffix(".npz"))
        files.write_json(target, result.to_json())
        _remove(parts)
    return result


def _run(
    pipeline: Pipeline, pack: PipelinePack, desk: _Desk
) -> tuple[PipelineResult, dict[str, NDArray[Any]]]:
    """The result, and the end's outputs with the `image` that each row is of."""
    first, masks = desk.run(pipeline.paths[0], pack)
    joined = _join_all(pack, masks, desk.progress)
    statuses = tuple(image.status for image in joined)
    answered = np.array([image.pictures > 0 for image in joined])
    both = pack.answered & answered
    if not both.any():
        _remove(desk.folder)  # the next try would say the same
        raise RunFailed(
            f"{pipeline.folder.name} on {desk.device.name} answers none of the images that the "
            f"float pipeline answers; it says '{statuses[0]}' of the first"
        )
    owner = np.repeat(np.arange(len(pack)), np.where(both, [i.pictures for i in joined], 0))
    digest = hashlib.sha256(b"".join(x.tobytes() for x in masks.values())).hexdigest()[:12]
    pictures = _pictures(pack, masks, owner, desk.folder / f"pictures-{digest}")
    last, outputs = desk.run(pipeline.paths[1], pictures)
    end = {name: mean_by(owner, rows) for name, rows in outputs.items()}
    equal_inputs = min(r.accuracy.bit_equal_inputs for r in (first, last))
    images = np.flatnonzero(both)
    result = PipelineResult(
        edgeskin=__version__,
        artifact=_identify(pipeline, (first, last)),
        pack=_identify_pack(pack),
        device=last.device,
        harness=last.harness,
        engine=last.engine,
        accuracy=accuracy.report(pack.end_pack(images), end, bit_equal_inputs=equal_inputs),
        protocol=desk.protocol,
        doubts=_doubts(pipeline, (first, last)),
        stages=dict(zip(pipeline.names, (first, last), strict=True)),
        looked_at=len(pack),
        statuses={"reference": count_statuses(pack.statuses), "device": count_statuses(statuses)},
        equal_statuses=equal_statuses(pack.statuses, statuses),
        answered=answered_by_groupings(pack.answered, answered, pack.groups) or None,
        pictures_per_image=len(pictures) / int(both.sum()),
        join=_join_time(joined),
        whole_p50_ms=_whole(first, last, len(pictures) / int(both.sum())),
    )
    return result, {"image": images, **end}


def _remove(parts: Path) -> None:
    shutil.rmtree(parts)
    with suppress(OSError):  # another run's parts lie there, too
        parts.parent.rmdir()


def _check(pipeline: Pipeline, pack: PipelinePack) -> None:
    """Check that a pipeline can be benched with a pack.

    Raises:
        InvalidPack: The pack is of other networks, or joins otherwise.
        NotSupportedHere: A stage is a run.
    """
    for name, path in zip(pipeline.names, pipeline.paths, strict=True):
        if not is_artifact(path):
            raise NotSupportedHere(f"stage '{name}' of {pipeline.folder} is a run: convert it")
    if pipeline.spec.join != pack.join or pipeline.names != pack.names:
        raise InvalidPack(
            f"{pack.folder} is a pack of {' and '.join(pack.names)}, {pipeline.folder} joins "
            f"{' and '.join(pipeline.names)} or joins them otherwise. Pack the pipeline of its runs"
        )
    for name, known, spec in zip(pack.names, (pack.spec, pack.last), pipeline.specs, strict=True):
        if (known.heads, known.input) != (spec.heads, spec.input):
            raise InvalidPack(
                f"stage '{name}' of {pack.folder} is {known.name}, of {pipeline.folder} "
                f"{spec.name} with another input or other heads. Pack the pipeline of its runs"
            )


def _kept(path: Path, digest: str, pack: Pack, protocol: Protocol | None) -> BenchResult | None:
    """What an earlier try measured of this very stage, in this very way."""
    if not path.is_file():
        return None
    result = read_result(path)
    asked = (digest, pack.sha256, protocol)
    known = (result.artifact.sha256, result.pack.sha256, result.protocol)
    return result if known == asked else None


def _key(pipeline: Pipeline, pack: PipelinePack, choice: Choice | None) -> str:
    """Of what is kept between tries: another pipeline, pack or engine begins anew."""
    text = f"{pipeline.sha256} {pack.end_sha256} {choice}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _Image:
    """What joining gave of one image: its status, how many pictures, and the time in ms."""

    status: str
    pictures: int
    join_ms: float


def _join_all(
    pack: PipelinePack, masks: Mapping[str, NDArray[Any]], progress: Progress
) -> list[_Image]:
    """Every image joined by the device's masks; pictures are made again when they are packed."""
    joined = []
    for i in range(len(pack)):
        image, row = pack.image(i), _row(masks, i)
        start = time.perf_counter_ns()
        one = join_image(pack.join, pack.spec, row, image)
        taken = (time.perf_counter_ns() - start) / 1e6
        joined.append(_Image(one.status, len(one.pictures), taken))
        progress("joining the stages", i + 1, len(pack))
    return joined


def _row(outputs: Mapping[str, NDArray[Any]], i: int) -> dict[str, NDArray[Any]]:
    return {name: values[i : i + 1] for name, values in outputs.items()}


def _pictures(
    pack: PipelinePack, masks: Mapping[str, NDArray[Any]], owner: NDArray[np.intp], folder: Path
) -> Pack:
    """The last stage's pack; `owner` is the image that each picture is of, not falling."""
    if not folder.is_dir():
        subject = Subject(
            data=pack.folder.resolve().name,
            split="pictures",
            data_rule="as the device's first stage leaves them",
            spec=pack.last,
            ready=False,
            truth=rows_of(pack.end_truth, owner),
            groups=part_of(pack.groups, owner),
        )
        with files.atomic(folder) as fresh:
            fresh.mkdir()
            packs.write(fresh, subject, _entries(pack, masks, np.unique(owner)))
    return packs.read(folder)


def _entries(
    pack: PipelinePack, masks: Mapping[str, NDArray[Any]], images: NDArray[np.intp]
) -> Iterator[Entry]:
    """The pictures, each with the float pipeline's answer to its image."""
    rows = np.cumsum(pack.answered) - 1
    for i in images.tolist():
        joined = join_image(pack.join, pack.spec, _row(masks, i), pack.image(i))
        for picture in joined.pictures:
            yield Entry(picture, pack.items[i].source_sha256, _row(pack.end, int(rows[i])))


def _identify(pipeline: Pipeline, stages: Sequence[BenchResult]) -> ArtifactIdentity:
    precisions = dict.fromkeys(stage.artifact.precision for stage in stages)
    ios = dict.fromkeys(stage.artifact.io for stage in stages)
    return ArtifactIdentity(
        name=pipeline.folder.name,
        sha256=pipeline.sha256,
        bytes=sum(stage.artifact.bytes for stage in stages),
        precision=", ".join(precisions),
        io=", ".join(ios),
        model=pipeline.spec.name,
    )


def _identify_pack(pack: PipelinePack) -> PackIdentity:
    return PackIdentity(
        name=pack.folder.resolve().name,
        sha256=pack.end_sha256,
        images=len(pack),
        source_sha256=tuple(item.source_sha256 for item in pack.items),
    )


def _doubts(pipeline: Pipeline, stages: Sequence[BenchResult]) -> tuple[str, ...] | None:
    if all(stage.doubts is None for stage in stages):
        return None
    pairs = zip(pipeline.names, stages, strict=True)
    return tuple(f"stage '{n}': {doubt}" for n, stage in pairs for doubt in stage.doubts or ())


def _join_time(joined: Sequence[_Image]) -> JoinTime:
    taken = tuple(image.join_ms for image in joined if image.pictures)
    machine = f"{platform.system()} {platform.machine()}"
    return JoinTime(
        where=f"host, {machine}, native core: {native.kernels_name()}",
        p50_ms=float(np.median(taken)),
        samples_ms=taken,
    )


def _whole(first: BenchResult, last: BenchResult, times: float) -> float | None:
    if first.latency is None or last.latency is None:
        return None
    before, after = (r.latency.summary.whole.p50_ms for r in (first, last) if r.latency)
    return before + times * after
