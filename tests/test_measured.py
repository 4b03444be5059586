"""Results of devices, as drift reads them: rows by image, and no row of anything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskin.errors import InvalidResult
from edgeskin.measured import read_measured

MODEL = b"a model"
IMAGES = [hashlib.sha256(bytes([i])).hexdigest() for i in range(4)]
OUTPUTS = {
    "severity": np.arange(12, dtype=np.float32).reshape(4, 3),
    "count": np.arange(4, dtype=np.float32)[:, None],
}
Change = Callable[[dict[str, Any]], object]


def written(folder: Path, change: Change = lambda document: None, rows: int = 4) -> Path:
    """A result in the form of edgeskin bench, with the outputs beside it."""
    document = {
        "version": 1,
        "artifact": {"name": "m.onnx", "sha256": hashlib.sha256(MODEL).hexdigest()},
        "pack": {"images": 4, "source_sha256": list(IMAGES)},
        "device": {"name": "emulated:cortex-a76"},
        "engine": {"runtime": "onnx", "version": "ONNX Runtime 1.23.2", "accelerator": "none"},
        "accuracy": {"bit_equal_inputs": 1.0},
    }
    change(document)
    path = folder / "result.json"
    path.write_text(json.dumps(document))
    np.savez(path.with_suffix(".npz"), **{k: v[:rows] for k, v in OUTPUTS.items()})
    (folder / "m.onnx").write_bytes(MODEL)
    return path


def test_rows_follow_the_images_that_are_asked_for(tmp_path: Path) -> None:
    result = read_measured(written(tmp_path))
    assert (result.device, result.engine) == ("emulated:cortex-a76", "ONNX Runtime 1.23.2")
    order = [2, 0, 2]
    found = result.of(tmp_path / "m.onnx", [IMAGES[i] for i in order])
    assert found.keys() == OUTPUTS.keys()
    for name, values in OUTPUTS.items():
        np.testing.assert_array_equal(found[name], values[order])


def test_another_file_other_images_and_other_pixels_are_refused(tmp_path: Path) -> None:
    result = read_measured(written(tmp_path))
    with pytest.raises(InvalidResult, match=r"has 1 of these 3 images; the first .* 0000000000"):
        result.of(tmp_path / "m.onnx", ["0" * 64, IMAGES[1], "1" * 64])
    (tmp_path / "other.onnx").write_bytes(b"another")
    with pytest.raises(InvalidResult, match=r"result of the file [0-9a-f]{16}\.\.\., other\.onnx"):
        result.of(tmp_path / "other.onnx", IMAGES)
    other = written(tmp_path, lambda d: d["accuracy"].update(bit_equal_inputs=0.75))
    with pytest.raises(InvalidResult, match=r"other pixels of 25\.0% of the images"):
        read_measured(other).of(tmp_path / "m.onnx", IMAGES)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.update(version=2), "has version 2; upgrade edgeskin"),
        (lambda d: d.pop("version"), r"damaged \(KeyError: 'version'\)"),
        (lambda d: d["pack"].pop("source_sha256"), r"damaged \(KeyError: 'source_sha256'\)"),
        (lambda d: d["pack"].update(source_sha256=None), r"damaged \(TypeError: "),
        (lambda d: d["pack"]["source_sha256"].pop(), r"names 3 images, 'severity' .* is of 4"),
    ],
)
def test_a_damaged_result_is_refused(change: Change, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match=why):
        read_measured(written(tmp_path, change))


def test_files_that_are_missing_or_no_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match=r"is no result: none\.json is missing"):
        read_measured(tmp_path / "none.json")
    path = written(tmp_path)
    path.with_suffix(".npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InvalidResult, match=r"is damaged \(BadZipFile: "):
        read_measured(path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(InvalidResult, match=r"is no result: result\.npz is missing"):
        read_measured(path)
    path.write_bytes(b"\x00\x01\xff TFL3")
    with pytest.raises(InvalidResult, match=r"is damaged \(\w+Error: ") as caught:
        read_measured(path)
    assert len(str(caught.value)) < 300 + len(str(path))
