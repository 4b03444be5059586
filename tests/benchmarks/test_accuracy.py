"""Accuracy on a device, from outputs written here by hand."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import acne_spec
from scipy import stats

from edgeskin.artifacts import Metadata
from edgeskin.benchmarks import accuracy
from edgeskin.benchmarks.pack import Item, Pack
from edgeskin.benchmarks.runner.request import EngineUsed
from edgeskin.errors import RunFailed
from edgeskin.spec import ClassificationHead, RegressionHead
from edgeskin.subgroups import Grouping

HEADS = (
    ClassificationHead(name="severity", labels=("mild", "moderate", "severe")),
    RegressionHead(name="area", unit="mm2", scale=10.0, offset=5.0),
)
TENSOR = {"name": "image", "dtype": "uint8", "shape": [1, 64, 64, 3], "bytes": 12288}


def one_hot(classes: list[int], sure: float = 1.0) -> Any:
    rest = (1 - sure) / 2
    return np.where(np.eye(3)[classes] == 1, sure, rest).astype(np.float32)


def pack(truth: list[int], decided: list[int], folder: Path, **changes: Any) -> Pack:
    """A pack of black images whose float model decided so."""
    n = len(truth)
    size = 8 * 8 * 3
    (folder / "shard-000.bin").write_bytes(bytes(n * size))
    fields: dict[str, Any] = {
        "folder": folder,
        "spec": acne_spec(heads=HEADS),
        "ready": False,
        "items": tuple(Item(0, i * size, 8, 8, f"{i:064x}") for i in range(n)),
        "shards": ("shard-000.bin",),
        "truth": {"severity": np.array(truth), "area": np.arange(n, dtype=float)},
        "groups": {},
        "reference": {
            "severity": one_hot(decided),
            "area": np.arange(n, dtype=np.float32)[:, None],
        },
        "sha256": "0" * 64,
    }
    return Pack(**(fields | changes))


def on_device(of: Pack, decided: list[int], sure: float = 1.0) -> dict[str, Any]:
    return {"severity": one_hot(decided, sure), "area": of.reference["area"] + 0.5}


def test_changed_decisions_come_worst_first(tmp_path: Path) -> None:
    #         right->wrong by 1, wrong->wrong by 2, right->wrong by 2, wrong->right, unchanged
    of = pack([0, 1, 0, 2, 1], [0, 0, 0, 1, 1], tmp_path)
    rows = accuracy.changed(of, on_device(of, [1, 2, 2, 2, 1]))
    assert [row.image for row in rows] == [2, 0, 1, 3]
    assert rows[0].to_json() == {
        "image": 2,
        "source_sha256": f"{2:064x}",
        "head": "severity",
        "truth": 0,
        "float": 0,
        "device": 2,
        "probability_lost": 1.0,
    }


def test_decisions_metrics_and_their_tests(tmp_path: Path) -> None:
    truth = [0, 1, 2] * 10
    before = truth.copy()
    before[:4] = [2, 2, 1, 1]  # 4 wrong
    after = truth.copy()
    after[20:29] = [0, 0, 0, 0, 0, 0, 0, 0, 0]  # of these 3 are right
    of = pack(truth, before, tmp_path)
    document = accuracy.report(of, on_device(of, after), bit_equal_inputs=1.0)
    wrong = sum(a != t for a, t in zip(after, truth, strict=True))
    metric = document.metrics["severity_accuracy"]
    assert metric.reference == pytest.approx(26 / 30)
    assert metric.candidate == pytest.approx((30 - wrong) / 30)
    # The two models are wrong on different images: 4 against `wrong` disagreements.
    assert metric.test.p == pytest.approx(stats.binomtest(4, 4 + wrong).pvalue)
    equal = sum(a == b for a, b in zip(before, after, strict=True)) / 30
    assert document.equal_decisions["severity"] == pytest.approx(equal)
    area = document.metrics["area_mae"]
    assert area.change.value == pytest.approx(0.5)
    assert area.significant
    assert area.test.p < 1e-6  # all 30 errors grew


def test_groups_have_metrics_of_their_own_unless_too_small(tmp_path: Path) -> None:
    labels = ("I", "II") * 10 + ("III",)
    groups = {"tone": Grouping.of(labels, "column tone")}
    truth = [0, 1] * 10 + [2]
    of = pack(truth, truth, tmp_path, groups=groups)
    report = accuracy.report(of, on_device(of, [0] * 20 + [2]), bit_equal_inputs=1.0)
    tone = report.groups["tone"]
    images = {name: group.images for name, group in tone.groups.items()}
    assert images == {"I": 10, "II": 10, "III": 1}
    assert tone.groups["I"].metrics["severity_accuracy"].candidate == 1.0
    lost = tone.groups["II"].metrics["severity_accuracy"]
    assert lost.candidate == 0.0
    assert lost.test.p == pytest.approx(2 / 2**10)  # McNemar: ten of ten changed one way
    assert tone.groups["III"].to_json() == {"images": 1, "too_few": True}
    assert tone.gaps["severity_accuracy"].growth.value == 1.0


def test_a_twin_says_how_many_values_have_the_same_bits(tmp_path: Path) -> None:
    of = pack([0, 1], [0, 1], tmp_path)
    found = on_device(of, [0, 1])
    twin = {"severity": found["severity"].copy(), "area": found["area"].copy()}
    twin["severity"][0, 0] = np.nextafter(twin["severity"][0, 0], np.float32(2))
    engine = EngineUsed(runtime="onnx", library="x.so", version="1", kernels="avx2", sha256={})
    report = accuracy.report(
        of, found, bit_equal_inputs=1.0, twin=accuracy.Twin(outputs=twin, engine=engine)
    )
    assert report.host.engine == engine
    assert report.host.bit_equal == {"severity": pytest.approx(5 / 6), "area": 1.0}


def test_outputs_are_dequantized_and_decoded() -> None:
    q = np.array([[3, -2, 0], [-128, 127, 5]], np.int8)
    area = np.array([[1.5], [-2.0]], np.float32)
    tensors = [
        {"name": "severity", "dtype": "int8", "shape": [1, 3], "bytes": 3}
        | {"scale": 0.5, "zero_point": -2},
        {"name": "area", "dtype": "float32", "shape": [1, 1], "bytes": 4},
    ]
    data = b"".join(q[i].tobytes() + area[i].tobytes() for i in range(2))
    metadata = Metadata(acne_spec(heads=HEADS), "tensor", "int8")
    found = accuracy.read_outputs(data, tensors, metadata)
    logits = 0.5 * (q.astype(float) + 2)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(found["severity"], expected, atol=1e-6)
    assert np.allclose(found["area"], area * 10 + 5)
    with pytest.raises(RunFailed, match="13 bytes, not a multiple of 7"):
        accuracy.read_outputs(data[:-1], tensors, metadata)


def test_inputs_of_another_crc_are_counted(tmp_path: Path) -> None:
    of = pack([0, 0], [0, 0], tmp_path)
    black = zlib.crc32(bytes(64 * 64 * 3))  # black stays black at any size
    answers = [{"input_crc32": black}, {"input_crc32": black + 1}]
    assert accuracy.bit_equal_inputs(of, [0, 1], answers, TENSOR, "app") == 0.5


def test_a_report_is_json(tmp_path: Path) -> None:
    of = pack([0, 1, 2], [0, 1, 1], tmp_path)
    report = accuracy.report(of, on_device(of, [0, 2, 1]), bit_equal_inputs=1.0)
    assert accuracy.Accuracy.from_json(json.dumps(report.to_json())) == report
