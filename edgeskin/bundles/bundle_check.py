"""Whether a bundle is what `bundle.json` says, and an app's libraries load on Android."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from edgeskin.artifacts import read_metadata
from edgeskin.bundles.archives import ARCHIVES, libraries_of
from edgeskin.bundles.bundle_documents import (
    DOCUMENT,
    SIGNATURE,
    BundledFile,
    BundleDocument,
)
from edgeskin.bundles.page_alignment import ELF, page_faults
from edgeskin.bundles.signing import check_signature
from edgeskin.document import Document
from edgeskin.errors import (
    EdgeskinError,
    InvalidArtifact,
    InvalidBundle,
    InvalidResult,
    InvalidSpec,
)
from edgeskin.files import inside, sha256
from edgeskin.pipelines.pipeline_spec import Join
from edgeskin.spec import Spec, first_problem

JOIN: TypeAdapter[Join] = TypeAdapter(Join)
"""How two stages join, out of JSON."""
Signature = Literal["valid", "invalid", "not checked", "none"]
_REPOSITORY = ".git/"
"""Of a bundle that is used by version: the repository's own files are none of the bundle's."""


class BundleCheck(Document):
    """What `verify_bundle` found.

    Attributes:
        kind: A folder of `edgeskin bundle`, or an app's archive.
        files: How many were compared with their hash; 0 of an archive.
        libraries: 64-bit libraries whose alignment was looked at.
        signature: `not checked` where there is one and no key; `none` where there is none.
        faults: What does not hold, a line each.
    """

    version: int = 1
    bundle: str
    kind: Literal["bundle", "apk", "aab", "aar"]
    files: int
    libraries: tuple[str, ...]
    signature: Signature
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything holds that was looked at."""
        return not self.faults


def verify_bundle(bundle: Path | str, public_key: Path | str | None = None) -> BundleCheck:
    """Check a bundle, or the libraries of an .apk, .aab or .aar; nothing of it is run.

    Args:
        bundle: The folder that `edgeskin bundle` wrote, or an app's archive.
        public_key: Of the key that signed it, ECDSA P-256 in PEM.

    Raises:
        InvalidBundle: No bundle, or one that cannot be read.
        InvalidKey: `public_key` is none, or is given with an archive.
        MissingPackage: pyelftools, or model-signing with a key.
    """
    path = Path(bundle)
    key = None if public_key is None else Path(public_key)
    if path.suffix in ARCHIVES and path.is_file():
        if key is not None:
            raise InvalidBundle(
                f"{path} is an app's archive, which has no {SIGNATURE}: --key goes with the folder "
                "of a bundle; apksigner verify checks an app's own signature"
            )
        return _check_archive(path)
    document = read_bundle(path)
    faults, whole = _check_files(path, document)
    faults += _check_models(path, document, whole)
    libraries, misaligned = _check_libraries(_libraries_in(path, whole))
    signature: Signature = "not checked" if (path / SIGNATURE).is_file() else "none"
    if key is not None:
        wrong = check_signature(path, key)
        signature = "invalid" if wrong else "valid"
        faults += [f"signature: {line}" for line in wrong]
    return BundleCheck(
        bundle=str(path),
        kind="bundle",
        files=len(document.files),
        libraries=libraries,
        signature=signature,
        faults=(*faults, *misaligned),
    )


def read_bundle(folder: Path) -> BundleDocument:
    """The `bundle.json` of a bundle.

    Raises:
        InvalidBundle: There is none, or a damaged one.
    """
    path = folder / DOCUMENT
    try:
        document = BundleDocument.from_json(path.read_bytes(), where=path)
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = "is missing" if not folder.exists() else f"has no {DOCUMENT}"
        raise InvalidBundle(
            f"{folder} {missing}: name the folder that edgeskin bundle wrote, or an "
            f"{', '.join(ARCHIVES[:-1])} or {ARCHIVES[-1]} file"
        ) from error
    except (OSError, InvalidResult) as error:
        raise InvalidBundle(str(error)) from error
    if document.version != 1:
        raise InvalidBundle(f"{path} has version {document.version}; upgrade edgeskin")
    for model in document.models:
        try:
            for file in model.files:
                Spec.model_validate(file.spec)
            if model.join is not None:
                JOIN.validate_python(model.join)
        except (InvalidSpec, ValidationError) as error:
            why = first_problem(error) if isinstance(error, ValidationError) else str(error)
            raise InvalidBundle(f"{path}: what it says of {model.name}: {why}") from error
    return document


def _check_files(folder: Path, document: BundleDocument) -> tuple[list[str], set[str]]:
    """Faults of the files, and the names of those that are as they were written."""
    faults, whole = [], set()
    for name, expected in document.files.items():
        try:
            path = inside(folder, name)
        except ValueError as error:
            raise InvalidBundle(f"{folder / DOCUMENT}: {error}") from error
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif sha256(path) != expected:
            faults.append(f"{name} was changed: its SHA-256 is not that of {DOCUMENT}")
        else:
            whole.add(name)
    known = {*document.files, DOCUMENT, SIGNATURE}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(_REPOSITORY):
            continue
        if path.is_symlink():
            faults.append(f"{name} is a link")
        elif path.is_file() and name not in known:
            faults.append(f"{name} was added: {DOCUMENT} does not name it")
    return faults, whole


def _check_models(folder: Path, document: BundleDocument, whole: set[str]) -> list[str]:
    """Networks that are not those that the document describes, by hash and by the spec inside."""
    faults = []
    for file in {file.file: file for model in document.models for file in model.files}.values():
        places = places_of(document.files, file.file)
        if not places:
            faults.append(f"{file.file} is named in {DOCUMENT}, and no file of it is there")
        for place in places:
            if (folder / place).exists() and (fault := _swapped(folder / place, file)):
                faults.append(f"{place} {fault}")
        spec_file = f"{file.file.rpartition('.')[0]}.spec.json"
        for place in places_of(document.files, spec_file):
            if place in whole and not _is_spec(folder / place, file):
                faults.append(f"{place} is not the spec of {file.file} that {DOCUMENT} holds")
    return faults


def places_of(files: Iterable[str], name: str) -> list[str]:
    """Where in the bundle a file, or a folder, of that name lies."""
    places: dict[str, None] = {}
    for file in files:
        parts = file.split("/")
        if name in parts:
            places["/".join(parts[: parts.index(name) + 1])] = None
    return list(places)


def _swapped(path: Path, file: BundledFile) -> str:
    if sha256(path) == file.sha256 and _specs_agree(path, file):
        return ""
    try:
        metadata = read_metadata(path)
    except EdgeskinError as error:
        return f"is another file than the model of {DOCUMENT}: {error}"
    if not _specs_agree(path, file):
        return (
            f"is another model: it carries the spec of {metadata.spec.name}, {metadata.precision}, "
            f"{DOCUMENT} that of {file.spec.get('name')}, {file.precision}"
        )
    return f"is not the model of {DOCUMENT}, though its spec is the same: {metadata.precision}"


def _specs_agree(path: Path, file: BundledFile) -> bool:
    try:
        return read_metadata(path).spec == Spec.model_validate(file.spec)
    except (InvalidArtifact, ValueError):
        return False


def _is_spec(path: Path, file: BundledFile) -> bool:
    try:
        return Spec.from_json(path.read_bytes()) == Spec.model_validate(file.spec)
    except (EdgeskinError, ValueError):
        return False


def _libraries_in(folder: Path, whole: Iterable[str]) -> Iterable[tuple[str, bytes, None]]:
    for name in sorted(whole):
        path = folder / name
        if ".so" in path.suffixes:
            yield name, path.read_bytes(), None


def _check_archive(path: Path) -> BundleCheck:
    libraries, faults = _check_libraries(libraries_of(path))
    kind: Literal["apk", "aab", "aar"] = "apk"
    if path.suffix == ".aab":
        kind = "aab"
    elif path.suffix == ".aar":
        kind = "aar"
    return BundleCheck(
        bundle=str(path),
        kind=kind,
        files=0,
        libraries=libraries,
        signature="none",
        faults=tuple(faults),
    )


def _check_libraries(
    libraries: Iterable[tuple[str, bytes, str | None]],
) -> tuple[tuple[str, ...], list[str]]:
    """Names of the 64-bit ones, and what is wrong with them."""
    names, faults = [], []
    for name, data, misplaced in libraries:
        if not data.startswith(ELF):
            faults.append(f"{name} is no native library")
            continue
        try:
            wrong = page_faults(data, name)
        except InvalidBundle as error:
            wrong = [str(error)]
        if wrong is not None:
            names.append(name)
            faults += [*wrong, *([misplaced] if misplaced else [])]
    return tuple(names), faults
