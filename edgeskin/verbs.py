"""Verbs of the command line that bring several rooms of the house together."""

from __future__ import annotations

from pathlib import Path

from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.pack import SHARD_BYTES, Pack
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import ImageData, load_split
from edgeskin.files import check_writable
from edgeskin.predictor import load
from edgeskin.progress import Progress, silent


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

    Args:
        run: The float model.
        samples: At most so many images of the split, drawn with a fixed seed.
        ready: Store the images at the model's size (smaller): the device's own pre-processing
            is then no part of what is measured.
        groups: What to report accuracy by.
        shard_bytes: Start another shard when one is this large.
        trust: Run the code that the run names, whoever wrote it.

    Raises:
        InvalidData: The folder cannot be used, or `groups` are none of its images'.
        CannotWrite: `out` exists and `force` is False.
        NotTrusted: The run names a factory that needs `trust`.
    """
    out = Path(out)
    check_writable(out, force=force)
    dataset = load_split(data, split)
    dataset = dataset.take(samples) if samples else dataset
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
