"""Small artifacts of every kind, as files of a format, made once a session."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from bundle_files import make_file

from edgeskin.bundles.bundling import bundle

Make = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def artifact_of(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`artifact_of("tiny", "onnx")`: one of `bundle_files.KINDS` in a format."""

    @cache
    def make(kind: str, target: str) -> Path:
        return make_file(kind, target, tmp_path_factory.mktemp(f"{kind}-{target}"))

    return make


@pytest.fixture(scope="session")
def bundled(artifact_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Linux bundle of the tiny network. Do not change it: copy it."""
    out = tmp_path_factory.mktemp("bundled") / "tiny"
    bundle(artifact_of("tiny", "onnx"), out, platform="linux", name="TinyModel")
    return out


@pytest.fixture
def spoiled(bundled: Path, tmp_path: Path) -> Path:
    """A copy of `bundled` for a test to spoil."""
    return Path(shutil.copytree(bundled, tmp_path / "spoiled"))
