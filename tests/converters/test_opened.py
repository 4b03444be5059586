"""A file is opened once, however much is measured of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_files import pixels, spec

from edgeskin.cli.main import run
from edgeskin.converters.parity.layers import compare_layers
from edgeskin.converters.parity.opened import OpenedFile
from edgeskin.converters.parity.reference import open_model
from edgeskin.formats.onnx import metadata, reader, session

Make = Callable[..., Path]
pytestmark = pytest.mark.slow


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, Path]]:
    """How often an ONNX file was opened for its metadata, its network or its session."""
    counts: Counter[tuple[str, Path]] = Counter()
    for what, module, name in (
        ("metadata", metadata, "entries"),
        ("network", reader, "read"),
        ("session", session, "open_session"),
    ):
        opener = getattr(module, name)

        def counted(
            path: Path, *args: Any, what: str = what, opener: Any = opener, **kwargs: Any
        ) -> Any:
            counts[what, path] += 1
            return opener(path, *args, **kwargs)

        monkeypatch.setattr(module, name, counted)
    return counts


def of(path: Path, opens: Counter[tuple[str, Path]]) -> dict[str, int]:
    return {what: count for (what, opened), count in opens.items() if opened == path}


ONCE = {"metadata": 1, "network": 1, "session": 1}


@pytest.mark.parametrize("onnx_is", ["artifact", "reference"])
def test_verify_with_layers_opens_each_file_once(
    onnx_is: str, converted: Make, data: Path, opens: Counter[tuple[str, Path]]
) -> None:
    file, other = converted("onnx", "fp32"), converted("tflite", "fp32")
    artifact, reference = (file, other) if onnx_is == "artifact" else (other, file)
    opens.clear()
    command = ["verify", str(artifact), "--reference", str(reference), "--data", str(data)]
    run([*command, "--layers", "--images", "1"])
    assert of(file, opens) == ONCE


def test_two_foreign_files_are_each_opened_once(
    converted: Make, tmp_path: Path, opens: Counter[tuple[str, Path]]
) -> None:
    import onnx

    files = []
    for precision in ("fp32", "int8"):
        file = onnx.load(converted("onnx", precision, "tensor"))
        del file.metadata_props[:]
        files.append(tmp_path / f"{precision}.onnx")
        onnx.save(file, files[-1])
    opens.clear()
    known, artifact = files
    run(["verify", str(artifact), "--reference", str(known), "--layers", "--images", "1"])
    assert of(artifact, opens) == ONCE
    assert of(known, opens) == {"network": 1, "session": 1}


def test_an_open_file_stays_open(make: Make, opens: Counter[tuple[str, Path]]) -> None:
    path, reference = make("onnx", "fp32"), open_model(make("onnx", "fp32", "tensor"), spec())
    opens.clear()
    with OpenedFile(path) as file:
        for _ in range(2):
            compare_layers(file, reference, pixels()[:1])
        assert file.session.inputs
    assert of(path, opens) == ONCE
