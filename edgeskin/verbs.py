"""Verbs of the command line that bring several rooms of the house together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgeskin.artifacts import (
    Artifact,
    read_manifest,
    read_metadata,
    record_compiled,
    record_tried,
)
from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.bench import bench_all, on_devices, result_path
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.simulated import find_simulator
from edgeskin.benchmarks.pack import SHARD_BYTES, Pack
from edgeskin.benchmarks.pipeline_bench import bench_pipeline, open_all
from edgeskin.benchmarks.pipeline_pack import (
    PipelinePack,
    make_pipeline_pack,
    read_any_pack,
    read_pipeline_pack,
)
from edgeskin.benchmarks.placement import place
from edgeskin.benchmarks.protocol import protocol_named
from edgeskin.benchmarks.result import Assigned, BenchResult
from edgeskin.benchmarks.setup import Choice
from edgeskin.bundles import bundle_diff
from edgeskin.bundles.bundle_diff import BundleDiff
from edgeskin.bundles.bundle_drift import Images, check_images, drift_of
from edgeskin.conversion import Tried
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import Dataset, ImageData, load_split
from edgeskin.destinations import CPU, find_destination, targets_for
from edgeskin.errors import (
    CannotFetch,
    DeviceError,
    EdgeskinError,
    InvalidArtifact,
    InvalidPack,
    InvalidResult,
    InvalidRun,
    MissingPackage,
    NotSupportedHere,
    ProgramCrashed,
    RunFailed,
)
from edgeskin.files import check_writable
from edgeskin.formats import format_of
from edgeskin.measured import Measured, read_measured
from edgeskin.model_card import write_card
from edgeskin.pipelines.pipeline_folder import is_pipeline
from edgeskin.pipelines.pipeline_predictor import load_pipeline
from edgeskin.predictor import load
from edgeskin.progress import Progress, silent
from edgeskin.snapdragon.ahead_of_time import compile_for


def pack(
    run: Path | str,
    data: ImageData | Path | str,
    out: Path | str,
    *,
    split: str = "test",
    samples: int | None = None,
    ready: bool = False,
    groups: GroupOptions = GroupOptions(),
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> Pack:
    """Pack images, labels and the float model's outputs, to be run on devices.

    Of a pipeline it is a `PipelinePack`, with outputs of the first stage and of the end.

    Args:
        run: The float model, or the pipeline of runs.
        samples: At most so many images of the split, drawn with a fixed seed.
        ready: Store the images at the model's size (smaller): the device's own pre-processing
            is then no part of what is measured.
        groups: What to report accuracy by.
        shard_bytes: Start another shard when one is this large.
        trust: Run the code that the run names, whoever wrote it.

    Raises:
        InvalidData: The folder cannot be used, or `groups` are none of its images'; or a
            pipeline answers none of them.
        InvalidPack: `ready` images of a pipeline.
        CannotWrite: `out` exists and `force` is False.
        NotTrusted: The run names a factory that needs `trust`.
    """
    out = Path(out)
    check_writable(out, force=force)
    if is_pipeline(run) and ready:
        raise InvalidPack(
            f"{run} is a pipeline, whose masks lie over the images as they were taken: leave "
            "--ready out"
        )
    dataset = load_split(data, split)
    dataset = dataset.take(samples) if samples else dataset
    if is_pipeline(run):
        with load_pipeline(run, trust=trust) as pipeline:
            return make_pipeline_pack(
                pipeline,
                dataset,
                out,
                groups=group_images(dataset, groups, trust=trust, progress=progress),
                shard_bytes=shard_bytes,
                force=force,
                progress=progress,
            )
    with load(run, trust=trust) as reference:
        return packs.make(
            reference,
            dataset,
            out,
            ready=ready,
            groups=group_images(dataset, groups, trust=trust, progress=progress),
            shard_bytes=shard_bytes,
            force=force,
            progress=progress,
        )


def bench(
    artifacts: Sequence[Path | str],
    pack: Path | str,
    out: Path | str,
    *,
    devices: Sequence[str] = ("host",),
    protocol: str = "standard",
    choice: Choice | None = None,
    ssh_config: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> dict[str, list[BenchResult] | EdgeskinError]:
    """Run artifacts on devices, all devices at once; their results are written to `out`.

    Args:
        artifacts: Files, or pipelines.
        pack: A pack of the model, or pipeline, that the artifacts were made from.
        devices: Names, as `open_device` takes them.
        protocol: A name of `PROTOCOLS`, or "none": accuracy only.
        ssh_config: Another file than `~/.ssh/config`.

    Returns:
        By device, its results, `PipelineResult`s of pipelines; or what went wrong there.

    Raises:
        UnknownName, InvalidPack, MissingPackage: Before any device is asked.
        InvalidArtifact: Files and pipelines, which have no pack in common.
    """
    kinds = {is_pipeline(artifact) for artifact in artifacts}
    if len(kinds) > 1:
        raise InvalidArtifact("files and pipelines have no pack in common: bench them in turn")
    wanted = None if protocol == "none" else protocol_named(protocol)
    run = _pipelines if kinds == {True} else _files
    there = run([Path(artifact) for artifact in artifacts], Path(pack))

    def work(device: Device) -> list[BenchResult]:
        return there(
            device, Path(out), protocol=wanted, choice=choice, force=force, progress=progress
        )

    return on_devices(devices, work, ssh_config=ssh_config, progress=progress)


def measure_on(
    artifact: Path | str,
    run: Path | str,
    data: Dataset,
    device: str,
    out: Path | None = None,
    *,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> Measured:
    """What a device makes of every image of `data`, for `drift` and `verify`; nothing is timed.

    Args:
        run: The float model that the artifact was made from.
        device: As `bench --device` takes it, such as "simulated:htp:SM8750".
        out: Where the result is kept, and taken from where it is there; one that breaks off goes
            on from there. None: nowhere.
        force: Replace a result there that is of another artifact or other images.
        trust: Run the code that the run names, whoever wrote it.

    Raises:
        UnknownName: No device is called so.
        InvalidResult: `out` holds a result of something else.
        EdgeskinError: As `pack` and `bench`.
    """
    artifact = Path(artifact)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        place = result_path(out or folder, device, artifact)
        if place.is_file():
            known = read_measured(place)
            try:
                known.of(artifact, [image.sha256() for image in data.images])
            except InvalidResult:
                if not force:
                    raise
            else:
                return known
        if not Path(run).is_dir():
            raise InvalidRun(f"{run} is no run: what a device gives is held against the float run")
        with load(run, trust=trust) as reference:
            packs.make(reference, data, folder / "pack", ready=True, progress=progress)
        results = bench(
            [artifact], folder / "pack", place.parent, devices=[device], protocol="none",
            force=force, progress=progress,
        )[device]  # fmt: skip
        if isinstance(results, EdgeskinError):
            raise results
        return read_measured(place)


def diff_bundles(
    old: Path | str,
    new: Path | str,
    pack: Path | str | None = None,
    *,
    progress: Progress = silent,
) -> BundleDiff:
    """What a new bundle changes for an app that has the old one.

    Args:
        pack: Of images, to run the models of both on, on this machine.

    Raises:
        InvalidBundle, InvalidPack, MissingPackage: As `bundle_diff.diff_bundles`, `read_any_pack`
            and `drift_of`.
    """
    diff = bundle_diff.diff_bundles(old, new)
    if pack is None:
        return diff
    drift = drift_of(Path(old), Path(new), _images_of(pack), progress)
    return diff.model_copy(update={"drift": drift})


def check_pack(old: Path | str, pack: Path | str) -> None:
    """Refuse a pack that `diff_bundles` could not run the models of a bundle on.

    Raises:
        InvalidBundle, InvalidPack: As `read_bundle` and `read_any_pack`, or it is of another model.
    """
    check_images(Path(old), _images_of(pack))


def _images_of(pack: Path | str) -> Images:
    packed = read_any_pack(pack)
    return Images(
        spec=packed.last if isinstance(packed, PipelinePack) else packed.spec,
        count=len(packed),
        pixels=packed.image,
        ready=packed.ready,
        truth=packed.end_truth if isinstance(packed, PipelinePack) else packed.truth,
    )


def try_on(
    artifact: Path | str,
    destination: str,
    *,
    keep: Path | None = None,
    max_partitions: int | None = None,
    progress: Progress = silent,
) -> Tried:
    """Compile a file by the destination's own compiler, and run nothing.

    Args:
        destination: A name of `edgeskin.destinations`, such as "snapdragon:SM8750".
        keep: Where to write what was compiled for a chip, if it is accepted.
        max_partitions: In how many parts it may take the file, the rest on the CPU; None: whole.

    Returns:
        What it took; where no compiler is here, why it was not tried.

    Raises:
        UnknownName: No such destination.
        CannotExpress: It takes no files of this type.
        InvalidSdk: The environment names an SDK that cannot be used.
    """
    path, wanted = Path(artifact), find_destination(destination)
    targets_for([destination], [format_of(path).name], every=False)
    if wanted.destination.simulator is None:
        return Tried(whole=None, reason=f"no compiler for {destination} can be had here")
    try:
        if wanted.destination.chips:
            _, chip = find_simulator(wanted.simulator)
            tried = compile_for(path, chip, keep, max_partitions)
        else:
            found = place(path, wanted.simulator, progress)
            tried = _placed(found, f"simulated:{wanted.simulator}", max_partitions)
    except (RunFailed, ProgramCrashed) as error:
        if type(error) not in (RunFailed, ProgramCrashed):  # of this machine, not of the file
            return Tried(whole=None, reason=str(error))
        tried = Tried(whole=False, by=f"simulated:{wanted.simulator}", reason=str(error))
    except (MissingPackage, NotSupportedHere, CannotFetch, DeviceError) as error:
        return Tried(whole=None, reason=str(error))
    if tried.reason:
        reason = f"{tried.reason}{_made_for_others(path, destination)}"
        return tried.model_copy(update={"reason": reason})
    return tried


def _placed(found: Assigned, by: str, max_partitions: int | None) -> Tried:
    """By the runtime's own word, once it has loaded the file."""
    return Tried(
        whole=found.whole,
        by=by,
        taken=None if found.operators is None else found.operators[0],
        operators=None if found.operators is None else found.operators[1],
        partitions=found.partitions,
        left=dict(found.left),
        left_because=found.left_because,
        max_partitions=max_partitions,
    )


def _made_for_others(path: Path, destination: str) -> str:
    """What to do where a file of ours was never meant for a destination."""
    entry = read_manifest(path.parent).get(path.name)
    if entry is None or entry.portable:
        return ""
    return f". It was made for {', '.join(entry.destinations) or CPU}: convert --for {destination}"


def try_all(
    artifacts: Iterable[Artifact],
    destinations: Sequence[str],
    *,
    max_partitions: int | None = None,
    progress: Progress = silent,
) -> list[Artifact]:
    """`try_on` of each file on every destination that takes its type, kept in the manifest.

    CPUs are no matter of trying: a file was run on one when it was made.

    Returns:
        The artifacts with what was found, and those that were compiled for a chip that
        `destinations` name: `NAME-CHIP.SUFFIX` beside the file that they were compiled from.
    """
    named = {text: find_destination(text) for text in destinations}
    found = []
    for artifact in artifacts:
        tried, compiled = {}, []
        for text, one in named.items():
            if one.destination.name == CPU or not one.destination.takes(artifact.target):
                continue
            path = artifact.path
            keep = path.with_stem(f"{path.stem}-{one.variant}") if one.variant else None
            if is_pipeline(path.parent):  # which knows its stages' files by name
                keep = None
            if keep is not None:
                check_writable(keep, force=False)
            tried[text] = try_on(
                path, text, keep=keep, max_partitions=max_partitions, progress=progress
            )
            progress(f"compiling, {path.name} for {text}", 1, 1)
            if keep is not None and tried[text].accepted:
                compiled.append(record_compiled(keep, artifact, text))
        if tried:
            record_tried(artifact.path, tried)
        found += [artifact.model_copy(update={"tried": tried or None}), *compiled]
        if compiled:
            write_card(artifact.path.parent, read_metadata(artifact.path).spec)
    return found


def _files(artifacts: list[Path], pack: Path) -> Callable[..., list[BenchResult]]:
    """`bench_all` of the artifacts, for a device."""
    return partial(bench_all, artifacts, packs.read(pack))


def _pipelines(artifacts: list[Path], pack: Path) -> Callable[..., list[BenchResult]]:
    """`bench_pipeline` of each of the artifacts, for a device."""
    packed = read_pipeline_pack(pack)
    opened = open_all(artifacts, packed)

    def each(device: Device, out: Path, **settings: Any) -> list[BenchResult]:
        return [bench_pipeline(one, packed, device, out, **settings) for one in opened]

    return each
