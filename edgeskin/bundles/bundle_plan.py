"""What is to be bundled, as every platform and every part of a bundle is given it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeskin.bundles.bundle_api import ModelApi, Stage
from edgeskin.bundles.golden_vectors import GoldenCase

Files = dict[str, bytes | Path]
"""By path in the bundle: the bytes, or the file or folder to copy."""


def write_files(files: Files, folder: Path) -> Path:
    """Write them into a folder, which is made; it is given back."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content.is_dir():
            shutil.copytree(content, path)
        else:
            shutil.copyfile(content, path)
    return folder


@dataclass(frozen=True)
class Plan:
    """A bundle before it is written.

    Attributes:
        name: Of the bundle, its module and its folder: `acne_grader`.
        package: The Kotlin package and Android namespace: `com.example.acne`.
        release: Version of the bundle.
        golden: Golden vectors by the class of their model.
        check_at_load: Whether the generated code compares a model's SHA-256 before it loads it.
    """

    platform: str
    models: tuple[ModelApi, ...]
    name: str
    package: str
    release: str
    golden: Mapping[str, tuple[GoldenCase, ...]]
    check_at_load: bool = False

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every network once, by its file's name."""
        return tuple({s.file: s for model in self.models for s in model.stages}.values())
