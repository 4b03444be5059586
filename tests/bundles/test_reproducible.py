"""The same files and settings give the same bundle, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import snapshot

from edgeskin.bundles.bundling import bundle
from edgeskin.bundles.platforms import PLATFORMS


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_same_bundle_twice(
    platform: str, artifact_of: Callable[[str, str], Path], tmp_path: Path
) -> None:
    artifact = artifact_of("tiny", PLATFORMS[platform].target)
    found = []
    for name in ("one", "two"):
        bundle(artifact, tmp_path / name / "out", platform=platform, name="TinyModel")
        found.append(snapshot(tmp_path / name / "out"))
    assert found[0] == found[1]
    assert "bundle.json" in found[0]
