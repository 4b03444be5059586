"""Pipelines on disk: made of two stages and their rules, and read back, every hash checked."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edgeskin.artifacts import (
    ManifestEntry,
    check_manifest,
    read_manifest,
    read_metadata,
    write_manifest,
)
from edgeskin.errors import InvalidArtifact, InvalidSpec, UnknownName
from edgeskin.files import atomic, check_writable, inside, open_to_readers, sha256
from edgeskin.formats import is_artifact
from edgeskin.models.run_files import METRICS, check_network
from edgeskin.pipelines.fit import check_fit
from edgeskin.pipelines.pipeline_card import write_pipeline_card
from edgeskin.pipelines.pipeline_spec import DOCUMENT, PipelineSpec, Rules, Stage
from edgeskin.spec import Spec

SUFFIX = ".pipeline"


@dataclass(frozen=True)
class Pipeline:
    """A pipeline on disk, checked; its networks are not loaded.

    Attributes:
        specs: Of the first and the last stage.
        sha256: Of `pipeline.json`, which holds the hashes of all else: its identity.
    """

    folder: Path
    spec: PipelineSpec
    specs: tuple[Spec, Spec]
    sha256: str

    @property
    def paths(self) -> tuple[Path, Path]:
        """Of the first and the last stage."""
        first, last = self.spec.stages
        return self.folder / first.file, self.folder / last.file

    @property
    def names(self) -> tuple[str, str]:
        """Of the first and the last stage."""
        return self.spec.names


def is_pipeline(path: Path | str) -> bool:
    """Whether `path` is a pipeline, or called like one."""
    return Path(path).suffix == SUFFIX or (Path(path) / DOCUMENT).is_file()


def read_pipeline(folder: Path | str) -> Pipeline:
    """Open a pipeline, every stage checked against its hash.

    Raises:
        InvalidArtifact: Missing, or a stage is missing or another one than was put in.
        InvalidSpec: `pipeline.json` is damaged or of a newer edgeskin, or the stages do not fit.
    """
    folder = Path(folder)
    document = folder / DOCUMENT
    if not document.is_file():
        raise InvalidArtifact(
            f"{folder} is no pipeline: {DOCUMENT} is missing. Make one with edgeskin pipeline."
        )
    spec = PipelineSpec.from_json(document.read_bytes(), where=str(document))
    for stage in spec.stages:
        _check_stage(folder, stage)
    first, last = (spec_of(folder / stage.file) for stage in spec.stages)
    try:
        check_fit(spec.join, spec.names, first, last)
    except InvalidSpec as error:
        raise InvalidSpec(f"{document}: {error}") from error
    return Pipeline(folder, spec, (first, last), sha256(document))


def _check_stage(folder: Path, stage: Stage) -> None:
    try:
        path = inside(folder, stage.file)
    except ValueError as error:
        raise InvalidArtifact(f"{folder}: {error}") from error
    if not path.exists():
        raise InvalidArtifact(
            f"{folder} lacks its stage '{stage.name}': {stage.file} is missing. Copy the whole "
            "folder, or make it again with edgeskin pipeline."
        )
    if (actual := sha256(path)) != stage.sha256:
        raise InvalidArtifact(
            f"{folder / stage.file} is not the stage that was put in: sha256 {actual[:16]}... "
            f"against {stage.sha256[:16]}... Make the pipeline again with edgeskin pipeline."
        )


def spec_of(path: Path) -> Spec:
    """The spec of an artifact or a run.

    Raises:
        InvalidArtifact: Neither of the two.
    """
    if is_artifact(path):
        return read_metadata(path).spec
    if not (path / "spec.json").is_file():
        raise InvalidArtifact(
            f"{path} is {'no artifact and no run' if path.exists() else 'missing'}: a stage is a "
            ".tflite, .onnx or .mlpackage file, or a run folder"
        )
    return Spec.load(path)


def built_in_rules() -> dict[str, str]:
    """The rules that come with edgeskin: TOML texts by name."""
    folder = files("edgeskin.pipelines") / "rules"
    found = sorted(folder.iterdir(), key=lambda file: file.name)
    return {f.name.removesuffix(".toml"): f.read_text("utf-8") for f in found}


def read_rules(rules: Rules | Path | str) -> Rules:
    """Rules from a TOML file, or by the name of built-in ones.

    Raises:
        UnknownName: Neither a file nor such a name.
        InvalidSpec: Not TOML, or a field that does not fit.
    """
    if isinstance(rules, Rules):
        return rules
    known = built_in_rules()
    if str(rules) in known:
        text = known[str(rules)]
    elif Path(rules).is_file():
        text = Path(rules).read_text(encoding="utf-8", errors="replace")
    else:
        raise UnknownName(f"no file and no rules '{rules}'; there are {', '.join(known)}")
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSpec(f"{rules} is not TOML: {error}") from error
    return Rules.from_fields(fields, where=str(rules))


def rules_of(spec: PipelineSpec) -> Rules:
    """The rules that a pipeline was made by, to make another one of other files."""
    return Rules(
        name=spec.name,
        task=spec.task,
        intended_use=spec.intended_use,
        limits=spec.limits,
        join=spec.join,
        license=spec.license,
        stages=spec.names,
    )


def make_pipeline(
    rules: Rules | Path | str,
    stages: Mapping[str, Path | str],
    out: Path | str,
    *,
    force: bool = False,
) -> Pipeline:
    """Join two models by rules into one folder, `NAME.pipeline`, with its card.

    Args:
        rules: A TOML file, or the name of built-in ones.
        stages: The artifact or run of each stage, by the names that the rules give.
        out: The folder; its name ends in `.pipeline`.

    Raises:
        UnknownName: No such rules, or a stage that they do not have or that is not given.
        InvalidSpec: The stages do not fit the rules.
        InvalidArtifact: A stage is no artifact and no run, or not what its manifest names.
        InvalidRun: The weights of a run are missing or cut off.
        CannotWrite: `out` exists and `force` is False.
    """
    rules, out = read_rules(rules), Path(out)
    paths = [Path(stages[name]) for name in _names(rules, stages)]
    if out.suffix != SUFFIX:
        raise UnknownName(f"a pipeline's folder ends in {SUFFIX}, got {out}")
    check_writable(out, force=force)
    first, last = map(spec_of, paths)
    check_fit(rules.join, rules.stages, first, last)
    with atomic(out, force=force) as fresh:
        fresh.mkdir()
        entries = [_put(path, fresh, name) for name, path in zip(rules.stages, paths, strict=True)]
        licenses = dict.fromkeys(spec.license for spec in (first, last))
        spec = PipelineSpec(
            name=rules.name,
            task=rules.task,
            intended_use=rules.intended_use,
            limits=rules.limits,
            join=rules.join,
            license=rules.license or "; ".join(licenses),
            stages=(entries[0], entries[1]),
        )
        (fresh / DOCUMENT).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
        itself = ManifestEntry(sha256=sha256(fresh / DOCUMENT))
        write_manifest(fresh, read_manifest(fresh) | {DOCUMENT: itself})
        write_pipeline_card(fresh, spec, (first, last))
        open_to_readers(fresh)
    return read_pipeline(out)


def _names(rules: Rules, stages: Mapping[str, Path | str]) -> tuple[str, str]:
    """The stages' names, in order.

    Raises:
        UnknownName: One is missing, or more are given.
    """
    wanted = ", ".join(rules.stages)
    for name in (*stages, *rules.stages):
        if name not in rules.stages:
            raise UnknownName(f"{rules.name} has no stage '{name}'; it has {wanted}")
        if name not in stages:
            raise UnknownName(f"stage '{name}' is missing; {rules.name} joins {wanted}")
    return rules.stages


def _put(path: Path, folder: Path, name: str) -> Stage:
    """Copy a stage into the pipeline's folder; its entry of a manifest goes with it."""
    target = folder / f"{name}{path.suffix if is_artifact(path) else ''}"
    if not is_artifact(path):
        target.mkdir()
        for file in (path / "spec.json", check_network(path), path / METRICS):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
    else:
        if (entry := check_manifest(path)) is not None:
            write_manifest(folder, read_manifest(folder) | {target.name: entry})
        shutil.copytree(path, target) if path.is_dir() else shutil.copyfile(path, target)
    return Stage(name=name, file=target.name, sha256=sha256(target))
