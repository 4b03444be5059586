"""What the API of a bundled model is, whatever the language: its class, its stages, its answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgeskin.artifacts import ManifestEntry, check_manifest, read_metadata
from edgeskin.bundles.words import identifier, joined, words
from edgeskin.errors import InvalidArtifact, InvalidSpec
from edgeskin.files import sha256, size_bytes
from edgeskin.formats import format_of, is_artifact
from edgeskin.pipelines.fit import find_head
from edgeskin.pipelines.pipeline_folder import is_pipeline, read_pipeline
from edgeskin.pipelines.pipeline_spec import CropJoin, Join, MaskJoin
from edgeskin.predictor import Predictor, load
from edgeskin.runtimes import TensorSpec
from edgeskin.spec import Head, SegmentationHead, Spec

_ROLES = ("Model", "Grader", "Classifier", "Predictor", "Segmenter", "Estimator", "Detector")
"""Last words of a class's name that its result's name leaves out."""


@dataclass(frozen=True)
class Stage:
    """One network of a model: its file, and what goes in and out.

    Attributes:
        name: Of the stage in a pipeline; `model` where there is one stage.
        path: The artifact.
        file: Its name in the bundle, the same for every model that has it.
        entry: What the manifest beside it says; None where there is none.
        input: Name of the input: pixels, RGB, uint8 (1, height, width, 3); in Core ML an image.
        outputs: Decoded values, float32, in the order of the file.
    """

    name: str
    path: Path
    file: str
    sha256: str
    bytes: int
    precision: str
    entry: ManifestEntry | None
    spec: Spec
    input: str
    outputs: tuple[TensorSpec, ...]

    @property
    def spec_file(self) -> str:
        """Name of its spec beside it."""
        return f"{self.file.rpartition('.')[0]}.spec.json"


@dataclass(frozen=True)
class Region:
    """What a join looks for: labels of a head of the first stage, by their places in it."""

    head: SegmentationHead
    values: tuple[int, ...]


@dataclass(frozen=True)
class ModelApi:
    """One model, or a pipeline of two, as one class.

    Attributes:
        name: Of the class: `AcneGrader`.
        base: What names are made of: `Acne`, in `AcneResult`.
        path: The artifact or the pipeline's folder.
        task: Of the spec, or of the pipeline.
        join: How the stages join; None where there is one.
    """

    name: str
    base: str
    path: Path
    title: str
    task: str
    intended_use: str
    limits: str
    license: str
    stages: tuple[Stage, ...]
    join: Join | None

    @property
    def result(self) -> str:
        """Name of what it answers: `AcneResult`."""
        return f"{self.base}Result"

    @property
    def last(self) -> Stage:
        """The stage that answers."""
        return self.stages[-1]

    @property
    def regions(self) -> dict[str, Region]:
        """Of a join: `keep`, or `skin` and `lesion`; none where there is one stage."""
        match self.join:
            case MaskJoin():
                wanted = {"keep": self.join.keep}
            case CropJoin():
                wanted = {"skin": self.join.skin, "lesion": self.join.lesion}
            case _:
                return {}
        heads = {name: find_head(region, self.stages[0].spec) for name, region in wanted.items()}
        return {
            name: Region(head, tuple(map(head.labels.index, wanted[name].labels)))
            for name, head in heads.items()
        }

    @property
    def heads(self) -> tuple[Head, ...]:
        """What is answered."""
        return self.last.spec.heads

    @property
    def snake(self) -> str:
        """For names of files and modules: `acne_grader`."""
        return joined(self.name, "snake")


def read_models(
    paths: Iterable[Path], target: str, platform: str, name: str | None = None
) -> tuple[ModelApi, ...]:
    """Artifacts and pipelines as the models of a bundle.

    Args:
        target: The format that the platform runs.
        name: Of the class, where there is one model; else made of its task.

    Raises:
        InvalidArtifact: Missing, damaged, not what its manifest names, of another format, made
            for one chip, or made with `--io tensor`.
        InvalidSpec: Two models or files have one name, `name` is no name, or is given to several;
            or a pipeline draws masks on crops.
    """
    found = [_read(Path(path), target, platform, name) for path in paths]
    if not found:
        raise InvalidArtifact(f"nothing to bundle: name a {target} file, or a pipeline of two")
    if name is not None and len(found) > 1:
        raise InvalidSpec(f"--name {name} is of one model, there are {len(found)}")
    for i, model in enumerate(found):
        if other := next((m for m in found[:i] if m.base == model.base), None):
            raise InvalidSpec(
                f"{other.path} and {model.path} would both be {model.name}. Bundle them one by "
                "one, each with its own --name."
            )
    _check_files([stage for model in found for stage in model.stages])
    return tuple(found)


def _check_files(stages: Iterable[Stage]) -> None:
    """One name in the bundle is one file."""
    known: dict[str, Stage] = {}
    for stage in stages:
        other = known.setdefault(stage.file, stage)
        if other.sha256 != stage.sha256:
            raise InvalidSpec(
                f"{other.path} and {stage.path} are two networks, and both would be {stage.file} "
                "in the bundle. Rename one, or bundle them one by one."
            )


def _read(path: Path, target: str, platform: str, name: str | None) -> ModelApi:
    if is_pipeline(path):
        pipeline = read_pipeline(path)
        spec = pipeline.spec
        files = [(stage.name, pipeline.folder / stage.file) for stage in spec.stages]
        stages = tuple(_stage(n, file, spec.name, target, platform) for n, file in files)
        title, task, join = spec.name, spec.task, spec.join
        use, limits, license_ = spec.intended_use, spec.limits, spec.license
    else:
        stages = (_stage("model", path, "", target, platform),)
        (only,) = stages
        title, task, join = only.spec.name, only.spec.task, None
        use, limits, license_ = only.spec.intended_use, only.spec.limits, only.spec.license
    if isinstance(join, CropJoin) and any(
        isinstance(head, SegmentationHead) for head in stages[-1].spec.heads
    ):
        raise InvalidSpec(f"{path} draws masks on crops, which no bundle can put together again")
    class_name = _class_name(name, task, title)
    base = class_name
    for role in _ROLES:
        base = base.removesuffix(role) or class_name
    return ModelApi(
        class_name, base, path, title, task, use, limits, license_, stages, join
    )  # fmt: skip


def _class_name(name: str | None, task: str, title: str) -> str:
    if name is not None:
        spelled = name if re.fullmatch("[A-Z][A-Za-z0-9]*", name) else joined(name, "pascal")
        if not spelled[:1].isalpha():
            raise InvalidSpec(f"--name '{name}' is no name of a class: give one as AcneGrader")
        return spelled
    text = next((t for t in (task, title) if words(t)), "Skin")
    return identifier(text, "pascal", "cpp") + "Model"


def _stage(name: str, path: Path, pipeline: str, target: str, platform: str) -> Stage:
    if not is_artifact(path):
        raise InvalidArtifact(
            f"{path} is {'no artifact' if path.exists() else 'missing'}: a bundle is made of files "
            "that edgeskin convert wrote, or of a pipeline of them"
        )
    entry = check_manifest(path)
    if format_of(path).name != target:
        raise InvalidArtifact(
            f"{path} is {format_of(path).title}, and a bundle for {platform} takes "
            f"{target}: convert it with --target {target}"
        )
    metadata = read_metadata(path)
    if metadata.compiled is not None:
        raise InvalidArtifact(
            f"{path} is compiled for {metadata.compiled.chip} alone; bundle the file that it was "
            "made from"
        )
    if entry is not None and entry.precision not in ("", metadata.precision):
        raise InvalidArtifact(
            f"{path} says that it is {metadata.precision}, its manifest {entry.precision}: one of "
            "them is of another file. Convert it again."
        )
    if metadata.io != "app":
        raise InvalidArtifact(
            f"{path} was made with --io {metadata.io}: a bundle takes files with pixels in and "
            "values out. Convert it with --io app."
        )
    with ExitStack() as opened:
        predictor = opened.enter_context(load(path))
        inputs, outputs = predictor.session.inputs, predictor.session.outputs
    if (taken := [(tensor.dtype, tensor.shape[-1]) for tensor in inputs]) != [("uint8", 3)]:
        raise InvalidArtifact(f"{path} takes {taken}, and a bundle gives one image of RGB pixels")
    file = path.name if not pipeline else f"{pipeline}-{name}{format_of(path).suffix}"
    return Stage(
        name=name,
        path=path,
        file=file,
        sha256=sha256(path),
        bytes=size_bytes(path),
        precision=metadata.precision,
        entry=entry,
        spec=metadata.spec,
        input=inputs[0].name,
        outputs=outputs,
    )


def open_stage(stage: Stage) -> Predictor:
    """Its file on this machine's runtime; a context manager."""
    return load(stage.path)
