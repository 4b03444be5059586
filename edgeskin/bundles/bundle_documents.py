"""`bundle.json`: what a bundle is, what it was made of, and the hash of every file in it."""

from __future__ import annotations

from pydantic import JsonValue

from edgeskin.document import Document

DOCUMENT = "bundle.json"
SIGNATURE = "bundle.sig"


class BundledFile(Document):
    """One network's file.

    Attributes:
        stage: Of a pipeline; `model` where there is one.
        sha256: Of the artifact that it was copied from.
        spec: The spec inside it: what an app's pre- and post-processing hang on.
    """

    stage: str
    file: str
    sha256: str
    bytes: int
    precision: str
    spec: dict[str, JsonValue]


class BundledModel(Document):
    """One class of the bundle's API; `join` is the rule of a pipeline."""

    name: str
    result: str
    files: tuple[BundledFile, ...]
    join: dict[str, JsonValue] | None = None


class Sizes(Document):
    """What a bundle adds to an app, in bytes.

    Attributes:
        models: The networks' files.
        library: The native core's library by ABI, stripped.
        code: Generated and copied sources of the API, before the app's compiler.
        download: By ABI, models and library deflated, as a store sends them.
        built_by: What built the library that was weighed.
    """

    models: int
    library: dict[str, int]
    code: int
    download: dict[str, int]
    built_by: str


class BundleDocument(Document):
    """`bundle.json`.

    Attributes:
        release: Version of the bundle, as the app's build system takes it.
        check_at_load: Whether the app compares each model's SHA-256, which stands in its code.
        files: SHA-256 by path, of every file but this one and the signature.
    """

    version: int = 1
    platform: str
    name: str
    package: str
    release: str
    edgeskin: str
    check_at_load: bool = False
    models: tuple[BundledModel, ...]
    sizes: Sizes
    files: dict[str, str]
