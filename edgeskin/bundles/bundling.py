"""`edgeskin bundle`: artifacts as a module for an app, whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from edgeskin.bundles.bill import bill_of_materials
from edgeskin.bundles.bundle_api import ModelApi, read_models
from edgeskin.bundles.bundle_documents import (
    DOCUMENT,
    BundledFile,
    BundledModel,
    BundleDocument,
    Sizes,
)
from edgeskin.bundles.bundle_plan import Files, Plan, write_files
from edgeskin.bundles.bundle_sizes import weigh
from edgeskin.bundles.golden_vectors import golden_cases
from edgeskin.bundles.licence_list import licence_files
from edgeskin.bundles.platforms import find_platform
from edgeskin.bundles.signing import check_key, sign
from edgeskin.errors import InvalidSpec, TooLarge
from edgeskin.files import atomic, check_writable, open_to_readers, sha256
from edgeskin.model_card import model_card
from edgeskin.pipelines.pipeline_card import pipeline_card
from edgeskin.pipelines.pipeline_folder import is_pipeline, read_pipeline
from edgeskin.progress import Progress, silent
from edgeskin.version import __version__

MB = 1_000_000


def bundle(
    artifacts: Iterable[Path | str] | Path | str,
    out: Path | str,
    *,
    platform: str,
    name: str | None = None,
    package: str | None = None,
    release: str = "1.0.0",
    budget_mb: float | None = None,
    check_at_load: bool = False,
    sign_with: Path | str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> BundleDocument:
    """Write a bundle: an Android module, a Swift package or a CMake project.

    The same files and settings give the same bytes, but for the signature.

    Args:
        artifacts: Files that `convert` wrote, or pipelines of them; each becomes a class.
        platform: `android` takes .tflite, `ios` .mlpackage, `linux` .onnx.
        name: Of the class, such as AcneGrader, where there is one; else made of the task.
        package: The Kotlin package; else `edgeskin.NAME`.
        release: Its version.
        budget_mb: The most that it may add to an app's download, in 10^6 bytes.
        check_at_load: Have the generated code compare each model's SHA-256 before it loads it.
        sign_with: A private key, ECDSA P-256 in PEM, to sign it with.

    Raises:
        InvalidArtifact, InvalidSpec: As `read_models`; or `package` or `release` is none.
        UnknownName: No such platform.
        TooLarge: It is above the budget; nothing is written.
        MissingPackage: jinja2, the format's runtime, or another of the extra `bundle`.
        CannotWrite: `out` exists and `force` is False, or cannot be made.
    """
    out, kind = Path(out), find_platform(platform)
    check_writable(out, force=force)
    if sign_with is not None:
        check_key(Path(sign_with))
    paths = [artifacts] if isinstance(artifacts, Path | str) else list(artifacts)
    models = read_models(map(Path, paths), kind.target, kind.name, name)
    stem = models[0].snake
    plan = Plan(
        platform=kind.name,
        models=models,
        name=stem,
        package=_package(package or f"edgeskin.{stem.replace('_', '')}"),
        release=_release(release),
        golden={model.name: golden_cases(model) for model in models},
        check_at_load=check_at_load,
    )
    progress("writing the bundle", 0, 1)
    files: Files = {**kind.files(plan), **licence_files(plan)}
    files |= {f"{model.base}.card.md": _card(model).encode() for model in models}
    files["sbom.cdx.json"] = bill_of_materials(plan)
    with atomic(out, force=force) as fresh:
        write_files(files, fresh)
        document = _document(plan, fresh, weigh(plan, fresh))
        if budget_mb is not None:
            _check_budget(document, budget_mb)
        text = json.dumps(document.to_json(), indent=2, ensure_ascii=False) + "\n"
        (fresh / DOCUMENT).write_text(text, encoding="utf-8")
        if sign_with is not None:
            sign(fresh, Path(sign_with))
        open_to_readers(fresh)
    progress("writing the bundle", 1, 1)
    return document


def _card(model: ModelApi) -> str:
    if is_pipeline(model.path):
        pipeline = read_pipeline(model.path)
        return pipeline_card(pipeline.folder, pipeline.spec, pipeline.specs).markdown()
    return model_card(model.path.parent, model.last.spec).markdown()


def _package(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", text):
        raise InvalidSpec(f"--package '{text}' is no package: give one as com.example.acne")
    return text


def _release(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        raise InvalidSpec(f"--release '{text}' is no version: give three numbers, as 1.0.0")
    return text


def _document(plan: Plan, folder: Path, sizes: Sizes) -> BundleDocument:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return BundleDocument(
        platform=plan.platform,
        name=plan.name,
        package=plan.package,
        release=plan.release,
        edgeskin=__version__,
        check_at_load=plan.check_at_load,
        models=tuple(map(_model, plan.models)),
        sizes=sizes,
        files={path.relative_to(folder).as_posix(): sha256(path) for path in paths},
    )


def _model(model: ModelApi) -> BundledModel:
    return BundledModel(
        name=model.name,
        result=model.result,
        files=tuple(
            BundledFile(
                stage=stage.name,
                file=stage.file,
                sha256=stage.sha256,
                bytes=stage.bytes,
                precision=stage.precision,
                spec=json.loads(stage.spec.to_json()),
            )
            for stage in model.stages
        ),
        join=None if model.join is None else json.loads(model.join.model_dump_json()),
    )


def _check_budget(document: BundleDocument, budget_mb: float) -> None:
    abi, most = max(document.sizes.download.items(), key=lambda item: item[1])
    if most > budget_mb * MB:
        raise TooLarge(
            f"the bundle adds {most / MB:.2f} MB to the download for {abi}, more than the budget "
            f"of {budget_mb:g} MB: of it {document.sizes.models / MB:.2f} MB are models before "
            "compression. Take a smaller network, or INT8."
        )
