"""`peers int8`: a small network through every tool, and what its result looks like."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from samples import acne_spec
from torch import nn

from edgeskin.benchmarks.peers.__main__ import main
from edgeskin.benchmarks.peers.builds import Failure, brief
from edgeskin.benchmarks.peers.int8 import (
    AIMS,
    RUNTIMES,
    Int8Result,
    ModelResult,
    RuntimeResult,
    measure,
    ratios,
)
from edgeskin.benchmarks.peers.int8_page import graph, markdown, save, table
from edgeskin.benchmarks.peers.peer_accuracy import AccuracyResult
from edgeskin.benchmarks.peers.peer_timing import TimedFile
from edgeskin.benchmarks.peers.setting import Machine
from edgeskin.benchmarks.peers.zoo import (
    MODELS,
    Model,
    find_models,
    normalized,
    pictures,
    settle,
)
from edgeskin.spec import ClassificationHead, InputSpec
from edgeskin.timing import interleave

RESULTS = Path(__file__).resolve().parents[2] / "docs/results"


def model(factory: str) -> Model:
    spec = acne_spec(
        name="small",
        arch=f"small_networks:{factory}",
        input=InputSpec(
            height=32, width=32, resize="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
        ),
        heads=(ClassificationHead(name="logits", labels=tuple("abcde")),),
    )
    return Model("Small", spec)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run reports on its way; its processes find the networks of this folder."""
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
    return []


@pytest.mark.slow
def test_a_network_goes_through_every_tool_and_files_are_used_again(
    told: list[str], tmp_path: Path
) -> None:
    result = measure([model("small")], list(RUNTIMES), 5, told.append, tmp_path)
    for runtime, found in result.models["small"].runtimes.items():
        builds = found.builds
        assert list(builds) == list(RUNTIMES[runtime])
        for name, build in builds.items():
            assert isinstance(build, TimedFile), build
            assert len(build.cpu_ms) == len(build.wall_ms) == 5
            # Float files differ from PyTorch by rounding alone, over 90 dB. An INT8 file whose
            # noise is a tenth of what tells images apart is no nonsense: 10 dB.
            assert build.sqnr_db > (90 if name == "float" else 10)
        # The stock file and ours do the same work: from and to the same types.
        ours, stock = builds["edgeskin"], builds["stock"]
        assert isinstance(ours, TimedFile)
        assert isinstance(stock, TimedFile)
        assert (ours.input, ours.output) == (stock.input, stock.output)
        assert set(found.ratios) == {f"to_{name}" for name in builds if name != "edgeskin"}
    assert sum(line.startswith("small: making") for line in told) == 10

    told.clear()
    measure([model("small")], ["onnx"], 2, told.append, tmp_path)
    assert told == ["small: timing on onnx"]
    (tmp_path / "small" / "onnx-stock.onnx.key").write_text("made by another version")
    measure([model("small")], ["onnx"], 2, told.append, tmp_path)
    assert told[1:] == ["small: making onnx-stock.onnx", "small: timing on onnx"]


def test_what_cannot_be_built_is_a_row_that_says_why(told: list[str], tmp_path: Path) -> None:
    result = measure([model("Broken")], ["litert"], 2, told.append, tmp_path)
    found = result.models["small"].runtimes["litert"]
    for build in found.builds.values():
        assert isinstance(build, Failure)
        assert "this network cannot run" in build.failed
    assert found.ratios == {}
    text = table(result)
    assert "failed" in text
    assert "this network cannot run" in text


def test_only_what_the_process_itself_did_counts_and_turns_rotate() -> None:
    calls: list[str] = []

    def sleeps() -> None:
        calls.append("sleeps")
        time.sleep(0.004)

    def works() -> None:
        calls.append("works")
        end = time.process_time() + 0.004
        while time.process_time() < end:
            pass

    found = interleave({"sleeps": sleeps, "works": works}, rounds=4, warmup=1)
    assert calls[:8] == ["sleeps"] * 2 + ["works"] * 4 + ["sleeps"] * 2
    assert len(calls) == 2 * 2 * (4 + 1)
    # A sleeping process uses microseconds; a busy one at least what it waits for.
    assert min(found["sleeps"]["wall_ms"]) >= 4.0
    assert max(found["sleeps"]["cpu_ms"]) < 2.0
    assert min(found["works"]["cpu_ms"]) >= 4.0


def test_a_settled_network_has_logits_of_mean_0_and_deviation_1() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(timm.create_model("mobilenetv3_small_050"))
    spec = model("small").spec
    wrapped = _Tuple(network)
    images = normalized(spec, pictures(spec.input, 24, seed=0))
    settle(wrapped, images)
    with torch.no_grad():
        logits = wrapped(images)[0]
    # By construction; float32 sums over 24 x 1000 values are good to about 1e-4.
    assert torch.allclose(logits.mean(0), torch.zeros(1000), atol=1e-3)
    assert logits.std().item() == pytest.approx(1.0, abs=1e-3)
    assert not wrapped.training


class _Tuple(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.network(x),)


def test_pictures_are_the_same_for_a_seed_and_different_for_another() -> None:
    size = model("small").spec.input
    first, again, other = (pictures(size, 3, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert first.shape == (3, 32, 32, 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--models", "alexnet"], r"no model 'alexnet'; there are mobilenet_v3_small, .*vit_tiny"),
        (["--runtimes", "tvm"], r"no runtime 'tvm'; there are litert, onnx"),
        (["--rounds", "1"], r"1 rounds have no median.* 200 or more"),
    ],
)
def test_refusals_are_one_line_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["int8", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(says, err)


def test_every_model_has_aims_and_models_keep_the_order_asked_for() -> None:
    assert list(AIMS) == list(MODELS)
    assert all(set(aims) == set(RUNTIMES) for aims in AIMS.values())
    assert [m.title for m in find_models("vit_tiny, resnet50")] == ["ViT-Tiny/16", "ResNet50"]
    assert find_models(None) == list(MODELS.values())


def build(ms: float, **changes: Any) -> TimedFile:
    """A build as `measure` describes it, its times without spread."""
    times = {"p50_ms": ms, "p90_ms": ms, "wall_p50_ms": ms, "cpu_ms": [ms] * 4, "wall_ms": [ms] * 4}
    facts = {"size_bytes": 2_000_000, "sqnr_db": 30.04, "operators": {"CONV_2D": 3, "DELEGATE": 1}}
    facts |= {"input": "int8 [1, 224, 224, 3]", "output": "float32", "runtime": "LiteRT 2"}
    return TimedFile.from_json({**times, **facts, **changes})


def runtime(**builds: TimedFile | Failure) -> RuntimeResult:
    return RuntimeResult(load_before=0.0, load_after=0.0, builds=builds, ratios=ratios(builds))


@pytest.fixture
def result() -> Int8Result:
    litert = runtime(float=build(1.0), stock=build(2.0), edgeskin=build(0.5))
    onnx = runtime(
        float=build(1.0),
        stock=Failure(failed="ValueError: no kernel for a|b (exit code 1)"),
        stock_x86=build(0.8),
        edgeskin=build(0.6, wall_p50_ms=0.9),
    )
    model = ModelResult(title="MobileNetV3-Small", runtimes={"litert": litert, "onnx": onnx})
    return Int8Result(
        machine=Machine(
            processor="CPU",
            cpu_features=("avx2",),
            processors=2,
            system="Linux x86_64",
            python="3.11",
        ),
        tools={"torch": "2"},
        threads=1,
        rounds=4,
        warmup_rounds=1,
        calibration_images=12,
        test_images=8,
        models={"mobilenet_v3_small": model},
    )


def test_the_table_sets_ratios_beside_their_aims(result: Int8Result) -> None:
    litert, onnx = table(result).split("\n\n## ONNX")
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in litert.splitlines()]
    assert cells[4] == [
        *("MobileNetV3-Small", "1.000", "2.000", "0.500"),
        *("0.500 [0.500, 0.500]", "0.65, met", "0.250 [0.250, 0.250]", "0.20, **missed**"),
    ]
    assert "| 0.500   | 2.00 | 30.0     | int8, float32 | 1 XNNPACK partitions |" in litert
    assert "on the clock" not in litert
    assert "ValueError: no kernel for a/b (exit code 1)" in onnx
    assert "medians on the clock are up to 50% longer" in onnx
    assert "to_stock" not in result.models["mobilenet_v3_small"].runtimes["onnx"].ratios
    for block in re.split(r"\n\n", table(result)):  # every table is a rectangle
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) <= 1


def test_a_page_is_written_with_its_json(result: Int8Result, tmp_path: Path) -> None:
    page = tmp_path / "peers.md"
    save(result, page)
    save(result, page)  # again: a new run replaces the old page
    assert table(result) in page.read_text()
    text = page.with_suffix(".json").read_text()
    assert Int8Result.from_json(text) == result
    assert '"cpu_ms": [ 1.0, 1.0, 1.0, 1.0 ]' in text


def test_published_results_are_read_and_written_unchanged() -> None:
    int8 = json.loads((RESULTS / "peers-int8.json").read_text(encoding="utf-8"))
    result = Int8Result.from_json(int8)
    assert result.to_json() == int8
    assert markdown(result) == (RESULTS / "peers-int8.md").read_text(encoding="utf-8")
    for accuracy in json.loads((RESULTS / "int8.json").read_text(encoding="utf-8")):
        assert AccuracyResult.from_json(accuracy).to_json() == accuracy


def test_messages_name_files_but_not_places() -> None:
    message = "InvalidArtifact: LiteRT refuses /home/me/models/a.tflite: tflite/kernels/x.cc failed"
    assert brief(message) == "InvalidArtifact: LiteRT refuses a.tflite: tflite/kernels/x.cc failed"


def test_operators_are_counted_by_what_they_mean() -> None:
    found = {"QLinearConv": 4, "QGemm": 1, "FusedConv": 2, "Transpose": 3, "Relu": 9}
    assert graph(found) == "3 TRANSPOSE, 5 integer, 2 float convolutions and products"
