"""The card of a pipeline: what its stages are, how they join, and what was measured of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeskin.artifacts import ManifestEntry, read_manifest, read_metadata
from edgeskin.files import size_bytes
from edgeskin.formats import is_artifact
from edgeskin.markdown_blocks import facts, prose
from edgeskin.model_card import RESEARCH, Card, network, verifications, words
from edgeskin.models.run_files import read_trained
from edgeskin.pipelines.fit import find_head
from edgeskin.pipelines.pipeline_spec import (
    ANSWERED,
    DOCUMENT,
    CropJoin,
    PipelineSpec,
    Region,
    Stage,
)
from edgeskin.spec import Spec


def write_pipeline_card(folder: Path, spec: PipelineSpec, specs: tuple[Spec, Spec]) -> None:
    """Write `NAME.card.md` into a pipeline's folder, over an earlier one.

    Raises:
        InvalidArtifact: The manifest of the folder is damaged.
        CannotWrite: The operating system refuses.
    """
    pipeline_card(folder, spec, specs).save(folder)


def pipeline_card(folder: Path, spec: PipelineSpec, specs: tuple[Spec, Spec]) -> Card:
    """The card of a pipeline, from its folder.

    Args:
        specs: Of the first and the last stage.

    Raises:
        InvalidArtifact: The manifest of the folder is damaged.
    """
    folder = folder.resolve()  # for its name
    entries = read_manifest(folder)
    first, last = specs
    stages = [
        block
        for stage, model in zip(spec.stages, specs, strict=True)
        for block in _stage(folder, stage, model, entries.get(stage.file))
    ]
    end = verifications("At the end", entries.get(DOCUMENT, ManifestEntry(sha256="")))
    blocks = (
        f"# {spec.name}\n{prose(spec.intended_use)}",
        RESEARCH,
        _facts(spec, specs),
        f"## Limits\n{prose(spec.limits) or 'Not stated.'} Those of the stages hold too.",
        f"## How the stages join\n{_join(spec, first)}",
        f"## What it answers\n{_answers(spec, last)}",
        f"## Figures of the whole\n{NOT_BY_STAGE}",
        *(list(end) or [_not_verified(folder, spec)]),
        *stages,
    )
    commands = tuple(_commands(folder, spec))
    return Card(spec.name, spec.task, spec.license, specs, entries, blocks, commands)


NOT_BY_STAGE = "Figures of a stage by itself stand with the stage: they are not those of the whole."


def _facts(spec: PipelineSpec, specs: tuple[Spec, Spec]) -> str:
    stages = {
        f"stage `{stage.name}`": f"{stage.file}: {model.name}, {model.license}"
        for stage, model in zip(spec.stages, specs, strict=True)
    }
    data = dict.fromkeys(model.training_data or "not stated" for model in specs)
    return facts(
        {"task": spec.task, **stages, "training data": "; ".join(data), "licence": spec.license}
    )


def _join(spec: PipelineSpec, first: Spec) -> str:
    """The rule with its thresholds, in words."""
    join, (before, after) = spec.join, (f"`{name}`" for name in spec.names)
    if not isinstance(join, CropJoin):
        kept = _region(join.keep, first)
        return (
            f"{after} sees the image as it was taken, painted over in RGB {join.fill} where "
            f"{before} does not see {kept}, or does not look. Of the image's pixels "
            f"{_percent(join.min_share)} must be kept."
        )
    skin, lesion = _region(join.skin, first), _region(join.lesion, first)
    sides = [f"{side} pixels" for side in join.sides]
    sides = sides or [f"{_percent(share)} of the shorter edge" for share in join.side_shares]
    return (
        f"{after} sees squares of the image, at most {join.most}, each by itself, and its answers "
        f"are averaged. Of a square, {before} calls more than {_percent(join.min_skin)} {skin} or "
        f"{lesion}, and more than {_percent(join.min_lesion)} {lesion}; those with the most of it "
        f"come first. Sides of {', '.join(sides)} are tried in this order, and the first with a "
        f"square is taken. From one square to the next it is {_percent(join.step_share)} of the "
        f"side; two share at most {_percent(join.max_overlap)} of their pixels."
    )


def _region(region: Region, first: Spec) -> str:
    return f"{' or '.join(region.labels)} (head `{find_head(region, first).name}`)"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _answers(spec: PipelineSpec, last: Spec) -> str:
    """What is said where there is something to see, and where there is not."""
    nothing = "there is no such square" if isinstance(spec.join, CropJoin) else "less is kept"
    heads = "\n".join(f"- {words(head)}" for head in last.heads)
    return (
        f"Where its `status` is `{ANSWERED}`, what `{spec.names[1]}` says:\n\n{heads}\n\n"
        f"Where {nothing}, its `status` is `{spec.join.otherwise}`, and there are no heads. That "
        "is an answer and no error: an app shows it."
    )


def _not_verified(folder: Path, spec: PipelineSpec) -> str:
    if not _is_of_files(folder, spec):
        return "None yet: this is the float reference that pipelines of files are held against."
    return (
        f"Not verified yet: `edgeskin verify {folder.name} --reference RUNS.pipeline --data DIR "
        "--by COLUMN` measures both stages and the end, and writes the result here."
    )


def _stage(folder: Path, stage: Stage, model: Spec, entry: ManifestEntry | None) -> Iterator[str]:
    """What the card of a stage by itself would say."""
    path = folder / stage.file
    yield f"## Stage `{stage.name}`: {model.name}\n{prose(model.intended_use)}"
    if not is_artifact(path):
        yield from network(model, {}, read_trained(path), level="###")
        return
    if entry is None:  # nothing named the file where it came from
        precision = read_metadata(path).precision
        entry = ManifestEntry(sha256=stage.sha256, precision=precision, size_bytes=size_bytes(path))
    yield from network(model, {stage.file: entry}, level="###")
    yield from verifications(stage.file, entry)


def _commands(folder: Path, spec: PipelineSpec) -> list[str]:
    stages = " ".join(f"--stage {stage.name}={stage.file}" for stage in spec.stages)
    made = f"edgeskin pipeline RULES {stages} --out {folder.name}"
    if _is_of_files(folder, spec):
        return [made, f"edgeskin verify {folder.name} --reference RUNS.pipeline --data DATA"]
    return [made, f"edgeskin convert {folder.name} --data DATA --precision int8 --out FOLDER"]


def _is_of_files(folder: Path, spec: PipelineSpec) -> bool:
    return all(is_artifact(folder / stage.file) for stage in spec.stages)
