"""Packs of pipelines: the images, and what the float pipeline says of them by stage and at the end.

Such a pack is a pack of the first stage, images as they were taken, with two more files:

    end.json    how the stages join, the last stage's spec and labels, each image's status
    end.npz     the end's decoded outputs, a row for each answered image; stays here
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, JsonValue, ValidationError

from edgeskin.benchmarks.pack import (
    PACK,
    SHARD_BYTES,
    Entry,
    Labels,
    Pack,
    Subject,
    plain,
    read,
    truth_of,
    write,
)
from edgeskin.document import Document
from edgeskin.errors import InvalidData, InvalidPack
from edgeskin.files import atomic, sha256
from edgeskin.pipelines.fit import check_fit
from edgeskin.pipelines.pipeline_predictor import PipelinePredictor, run_first
from edgeskin.pipelines.pipeline_spec import ANSWERED, Join, PipelineSpec
from edgeskin.postprocess import Outputs, rows_of
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec, first_problem
from edgeskin.subgroups import Grouping, part_of

if TYPE_CHECKING:
    from edgeskin.data.manifest import Dataset

END, END_OUTPUTS = "end.json", "end.npz"


class EndDocument(Document):
    """end.json.

    `pipeline` is the reference's pipeline.json; `labels` are of the last stage's heads and, as
    `statuses`, have a value an image; `sha256` is that of each other file of the pack.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    version: Literal[1] = 1
    pipeline: dict[str, JsonValue]
    spec: dict[str, JsonValue]
    statuses: tuple[str, ...]
    labels: Labels
    sha256: dict[str, str]


@dataclass(frozen=True, eq=False)
class PipelinePack(Pack):
    """A pack of a pipeline: as a `Pack` it is that of the first stage.

    Attributes:
        names: Of the stages.
        last: Of the last stage.
        statuses: What the float pipeline says of each image.
        end_truth: Labels of the last stage's heads, by image.
        end: The float pipeline's decoded outputs, a row for each answered image.
        end_sha256: Of end.json, which holds the hashes of all else: this pack's identity.
    """

    names: tuple[str, str]
    join: Join
    last: Spec
    statuses: tuple[str, ...]
    end_truth: dict[str, NDArray[Any]]
    end: dict[str, NDArray[Any]]
    end_sha256: str

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which images the float pipeline answers, bool (N,)."""
        return np.array([status == ANSWERED for status in self.statuses], np.bool_)

    def end_pack(self, images: NDArray[np.intp]) -> Pack:
        """The end as a pack of some images that are answered: the last stage's spec and labels.

        Args:
            images: By number, rising, (N,).
        """
        rows = np.cumsum(self.answered) - 1
        return Pack(
            folder=self.folder,
            spec=self.last,
            ready=False,
            items=tuple(self.items[i] for i in images.tolist()),
            shards=self.shards,
            truth=rows_of(self.end_truth, images),
            groups=part_of(self.groups, images),
            reference=rows_of(self.end, rows[images]),
            sha256=self.end_sha256,
        )


def make_pipeline_pack(
    reference: PipelinePredictor,
    data: Dataset,
    out: Path,
    *,
    groups: Mapping[str, Grouping] | None = None,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    progress: Progress = silent,
) -> PipelinePack:
    """Write a pack of every image of `data`, with what a float pipeline says of each.

    Args:
        groups: What to report accuracy by, as `data.grouping.group_images` makes them.

    Raises:
        InvalidData: No image is answered, or a label cannot be used.
        CannotWrite: `out` exists and `force` is False.
    """
    subject = Subject(
        data=data.name,
        split=data.split,
        data_rule=data.rule_for(reference.spec),
        spec=reference.first.spec,
        ready=False,
        truth=data.labels(reference.first.spec),
        groups=groups or {},
    )
    truth = data.labels(reference.spec)
    statuses: list[str] = []
    rows: list[Outputs] = []
    with atomic(out, force=force) as fresh:
        fresh.mkdir()
        write(fresh, subject, _entries(reference, data, statuses, rows, progress), shard_bytes)
        if not rows:
            raise InvalidData(
                f"{reference.pipeline.folder.name} answers none of the {len(data)} images of "
                f"{data.where}: '{statuses[0]}'. There is nothing to measure on a device"
            )
        end = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        np.savez(fresh / END_OUTPUTS, **cast(Mapping[str, Any], end))
        document = EndDocument(
            pipeline=reference.pipeline.spec.model_dump(mode="json"),
            spec=json.loads(reference.spec.to_json()),
            statuses=tuple(statuses),
            labels={name: plain(values) for name, values in truth.items()},
            sha256={name: sha256(fresh / name) for name in (PACK, END_OUTPUTS)},
        )
        (fresh / END).write_text(json.dumps(document.to_json(), indent=1), encoding="utf-8")
    return read_pipeline_pack(out)


def _entries(
    reference: PipelinePredictor,
    data: Dataset,
    statuses: list[str],
    rows: list[Outputs],
    progress: Progress,
) -> Iterator[Entry]:
    """The first stage's entries; the end's statuses and rows are appended on the way."""
    for done, source in enumerate(data.images, start=1):
        image = source.decode()
        outputs, joined = run_first(reference.first, reference.pipeline.spec.join, image)
        statuses.append(joined.status)
        if joined.pictures:
            rows.append(reference.run_last(joined.pictures))
        yield Entry(image, source.sha256(), outputs)
        progress("packing", done, len(data))


def read_any_pack(folder: Path | str) -> Pack:
    """A pack of one model, or of a pipeline a `PipelinePack`.

    Raises:
        InvalidPack: Missing, damaged, or of a newer edgeskin.
    """
    return read_pipeline_pack(folder) if (Path(folder) / END).exists() else read(Path(folder))


def read_pipeline_pack(folder: Path | str) -> PipelinePack:
    """Open a pipeline's pack, every file checked against its hash.

    Raises:
        InvalidPack: Missing, damaged, of one model only, or of a newer edgeskin.
    """
    folder = Path(folder)
    first, path = read(folder), folder / END
    if not path.is_file():
        raise InvalidPack(
            f"{folder} is a pack of one model, {first.spec.name}: make one of the pipeline with "
            "edgeskin pack"
        )
    try:
        text = path.read_bytes()
        document = EndDocument.model_validate_json(text)
        for name in (PACK, END_OUTPUTS):
            if sha256(folder / name) != document.sha256[name]:
                raise ValueError(f"{name} is not the file that was packed with it")
        pipeline = PipelineSpec.model_validate(document.pipeline)
        last = Spec.from_json(json.dumps(document.spec), where=str(path))
        check_fit(pipeline.join, pipeline.names, first.spec, last)
        with np.load(folder / END_OUTPUTS, allow_pickle=False) as stored:
            end = {name: stored[name] for name in stored.files}
        _check_rows(document, first, last, end)
        truth = truth_of(document.labels, last)
    except (OSError, ValueError, KeyError) as error:
        why = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise InvalidPack(
            f"{path} is damaged ({why}). Make the pack again with edgeskin pack."
        ) from error
    return PipelinePack(
        **vars(first),
        names=pipeline.names,
        join=pipeline.join,
        last=last,
        statuses=document.statuses,
        end_truth=truth,
        end=end,
        end_sha256=hashlib.sha256(text).hexdigest(),
    )


def _check_rows(
    document: EndDocument, first: Pack, last: Spec, end: Mapping[str, NDArray[Any]]
) -> None:
    """Refuse statuses, labels and outputs that are not one an image.

    Raises:
        ValueError: They are not, or of other heads than the last stage's.
    """
    if set(end) != set(last.output_names("app")):
        raise ValueError(f"{END_OUTPUTS} holds {sorted(end)}, the last stage has other outputs")
    answered = document.statuses.count(ANSWERED)
    counts = [("statuses", len(document.statuses), len(first))]
    counts += [(name, len(rows), answered) for name, rows in end.items()]
    counts += [(name, len(rows), len(first)) for name, rows in document.labels.items()]
    for name, count, expected in counts:
        if count != expected:
            raise ValueError(f"'{name}' has {count} rows for {expected} images")
