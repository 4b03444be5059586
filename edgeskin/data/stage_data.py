"""The last stage's own data folder: images exactly as a pipeline hands them over, with labels.

A last stage is trained, calibrated and verified on such a folder as on any other, and so before
it exists: the first stage and the rules are enough.

    manifest.csv      every column of the source, splits as they were, and `picture_of`, the image
                      that a picture was made of, and `crop`, "left top side" in its pixels
    images/*.png      before the last stage's own resize, masked or cut
    masks/*           the source's, as they were beside a whole picture, cut as a crop is
    stage.json        a `StageData`: what they were made by, and which images had nothing to see
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import JsonValue

from edgeskin.data.dataset import Dataset
from edgeskin.data.listing import CROP, FILE, GROUP, MASK, PICTURE_OF, SPLIT, Row
from edgeskin.data.manifest import EVERY, ImageData, open_data
from edgeskin.data.stage_masks import DRAWN, FOLDER, are_drawn, mask_columns, write_masks
from edgeskin.document import Document
from edgeskin.errors import InvalidArtifact, InvalidData
from edgeskin.files import atomic, check_writable, sha256, write_json
from edgeskin.pipelines.fit import check_fit
from edgeskin.pipelines.joins import Crop, Pixels
from edgeskin.pipelines.pipeline_folder import (
    is_pipeline,
    read_pipeline,
    read_rules,
    spec_of,
)
from edgeskin.pipelines.pipeline_predictor import run_first
from edgeskin.pipelines.pipeline_spec import Join, Rules
from edgeskin.predictor import Predictor, load
from edgeskin.progress import Progress, silent


class LeftOut(Document):
    """An image in which the last stage has nothing to see, and why."""

    file: str
    split: str
    status: str


class StageData(Document):
    """`stage.json`: what a stage's data were made by.

    `images` were looked at and gave `pictures`; `first_sha256` is of the first stage's file or
    run folder. `masks` are the columns whose masks came along; `masks_left_out` says why the
    others did not.
    """

    version: Literal[1] = 1
    pipeline: str
    stage: str
    first_sha256: str
    join: dict[str, JsonValue]
    data: str
    data_rule: str | None = None
    images: int
    pictures: int
    left_out: tuple[LeftOut, ...]
    masks: tuple[str, ...] = ()
    masks_left_out: str | None = None


@dataclass(frozen=True)
class _Source:
    """What hands over: names for the record, the join, and where the first stage lies."""

    pipeline: str
    stage: str
    join: Join
    first: Path


def stage_data(
    source: Path | str,
    data: ImageData | Path | str,
    out: Path | str,
    *,
    rules: Rules | Path | str | None = None,
    with_masks: bool = True,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> StageData:
    """Write the data of a pipeline's last stage: all splits of `data`, as it is handed over.

    A picture has the labels of its image, and its masks: files as they were, or cut as the
    picture is, by the nearest pixel. Masks drawn from annotations are left out.

    Args:
        source: A pipeline, or a first stage, for which `rules` say what is handed over.
        rules: As `make_pipeline` takes them; of a pipeline, none.
        with_masks: Take masks along; to calibrate needs none.
        trust: Run the code that a run names, whoever wrote it.

    Raises:
        InvalidArtifact: A first stage without rules, or neither of the two.
        InvalidSpec: The first stage does not fit the rules.
        InvalidData: No image has anything to see, or a mask is of another shape than its image.
        InvalidImage: An image or mask cannot be read.
        CannotWrite: `out` exists and `force` is False.
    """
    out = Path(out)
    check_writable(out, force=force)
    origin, images = _source(Path(source), rules), open_data(data)
    dataset = images.split(EVERY)
    with atomic(out, force=force) as fresh, load(origin.first, trust=trust) as first:
        (fresh / "images").mkdir(parents=True)
        masks = mask_columns(dataset) if with_masks else ()
        if masks:
            (fresh / FOLDER).mkdir()
        rows, left_out = _write_pictures(first, origin.join, dataset, masks, fresh, progress)
        if not rows:
            raise InvalidData(
                f"nothing is to be seen in any of the {len(dataset)} images of {dataset.where}: "
                f"'{left_out[0].status}'. Look at edgeskin predict {origin.first} IMAGE, and at "
                "the thresholds of the join"
            )
        _write_manifest(fresh / "manifest.csv", rows, images.splits.group_column)
        record = StageData(
            pipeline=origin.pipeline,
            stage=origin.stage,
            first_sha256=sha256(origin.first),
            join=origin.join.model_dump(mode="json"),
            data=dataset.name,
            data_rule=dataset.rule,
            images=len(dataset),
            pictures=len(rows),
            left_out=tuple(left_out),
            masks=masks,
            masks_left_out=DRAWN if with_masks and are_drawn(dataset) else None,
        )
        write_json(fresh / "stage.json", record.to_json())
    return record


def _source(source: Path, rules: Rules | Path | str | None) -> _Source:
    if is_pipeline(source):
        if rules is not None:
            raise InvalidArtifact(f"{source} is a pipeline and has its rules: leave --rules out")
        pipeline = read_pipeline(source)
        name, first = pipeline.spec.name, pipeline.paths[0]
        return _Source(name, pipeline.names[1], pipeline.spec.join, first)
    if rules is None:
        raise InvalidArtifact(
            f"{source} is no pipeline: pass --rules to say what a first stage hands over"
        )
    known = read_rules(rules)
    check_fit(known.join, known.stages, spec_of(source))
    return _Source(known.name, known.stages[1], known.join, source)


def _write_pictures(
    first: Predictor,
    join: Join,
    data: Dataset,
    masks: tuple[str, ...],
    folder: Path,
    progress: Progress,
) -> tuple[list[Row], list[LeftOut]]:
    """Write every picture with its masks; their rows, and the images that have none."""
    write = _writer(first, join, data, masks, folder)
    rows: list[Row] = []
    left_out: list[LeftOut] = []
    with ThreadPoolExecutor() as pool:
        for i, (status, made) in enumerate(pool.map(write, range(len(data)))):
            rows += made
            if not made:
                row = data.rows[i]
                left_out.append(LeftOut(file=row[FILE], split=row[SPLIT], status=status))
            progress("writing pictures", i + 1, len(data))
    return rows, left_out


def _writer(
    first: Predictor, join: Join, data: Dataset, masks: tuple[str, ...], folder: Path
) -> Callable[[int], tuple[str, list[Row]]]:
    """What writes the pictures of one image: its status, and their rows."""

    def write(i: int) -> tuple[str, list[Row]]:
        image = data.images[i].decode()
        _, joined = run_first(first, join, image)
        crops = joined.seen.crops or (None,) * len(joined.pictures)
        rows = []
        for k, (picture, crop) in enumerate(zip(joined.pictures, crops, strict=True)):
            name, (height, width) = f"{i:06d}_{k}", image.shape[:2]
            row = _write_picture(picture, data.rows[i], folder, name, crop)
            rows.append(row | write_masks(data, i, masks, folder, name, crop, (height, width)))
        return joined.status, rows

    return write


def _write_picture(picture: Pixels, row: Row, folder: Path, name: str, crop: Crop | None) -> Row:
    """Its row, without masks."""
    file = f"images/{name}.png"
    Image.fromarray(picture).save(folder / file, compress_level=1)
    height, width = picture.shape[:2]
    sizes = {"width": str(width), "height": str(height)}
    kept = {column: sizes.get(column, text) for column, text in row.items() if column != MASK}
    place = {} if crop is None else {CROP: f"{crop.left} {crop.top} {crop.side}"}
    return kept | {FILE: file, PICTURE_OF: row[FILE]} | place


def _write_manifest(path: Path, rows: list[Row], group: str | None) -> None:
    """Pictures of one image belong together, with those of its group where it has one."""
    groups = [(row[group].strip() if group else "") or row[PICTURE_OF] for row in rows]
    named = [row | {GROUP: key} for row, key in zip(rows, groups, strict=True)]
    columns = list(dict.fromkeys([FILE, SPLIT, *(name for row in named for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(named)
    path.write_text(text.getvalue(), encoding="utf-8")
