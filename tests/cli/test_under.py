"""`--under` and `--measured`: a file on what is not this machine, in `verify` and `drift`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qualcomm import npu

from edgeskin.benchmarks.devices.device import Device
from edgeskin.cli.main import run
from edgeskin.cli.verify import print_layers
from edgeskin.converters.parity.documents import LayerReport


def command(name: str, artifact: Path, reference: Path, data: Path) -> list[str]:
    return [name, str(artifact), "--reference", str(reference), "--data", str(data)]


def document(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@npu
@pytest.mark.slow
def test_a_float_file_on_a_simulated_npu(
    files: Path,
    lively_run: Path,
    phantom_set: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact, results = files / "acne-test-fp32.tflite", str(tmp_path / "results")
    before = (files / "manifest.json").read_bytes()
    under = ["--under", "htp:SM8750", "--results", results]
    verify = [*command("verify", artifact, lively_run, phantom_set), "--samples", "3", *under]
    told = document(capsys, verify)
    assert told["runtime"].endswith("qnn-simulated on simulated:htp:SM8750")
    assert told["images"] == 3
    assert 35 < told["sqnr_db"] < 70
    assert told["floor_db"] == 30, "of float16"
    assert (files / "manifest.json").read_bytes() == before, "it says what this machine computes"

    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("it has been measured")

    monkeypatch.setattr(Device, "start", started)
    drift = [*command("drift", artifact, lively_run, phantom_set), "--images", "3", *under]
    (elsewhere,) = document(capsys, drift)["elsewhere"]
    assert elsewhere["stage"] == "simulated:htp:SM8750"
    (result,) = (tmp_path / "results").glob("*.json")
    known = ["--samples", "3", "--measured", str(result)]
    again = document(capsys, [*command("verify", artifact, lively_run, phantom_set), *known])
    assert again["agreement"] == told["agreement"]
    capsys.readouterr()
    four = [*command("verify", artifact, lively_run, phantom_set), "--samples", "4", *under]
    assert run(four) == 2
    assert "of these 4 images" in capsys.readouterr().err


@npu
@pytest.mark.slow
def test_layers_on_a_simulated_npu(
    files: Path,
    lively_run: Path,
    phantom_set: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact, plot = files / "acne-test-fp32.tflite", tmp_path / "layers.svg"
    asked = ["--samples", "1", "--under", "htp:SM8750", "--results", str(tmp_path / "results")]
    verify = [*command("verify", artifact, lively_run, phantom_set), *asked, "--layers"]
    capsys.readouterr()
    # Heads of random weights may lose too much in float16, which makes it 1.
    assert run([*verify, "--plot", str(plot), "--json"]) in (0, 1)
    told = json.loads(capsys.readouterr().out)
    layers = told["layers"]
    assert layers["simulated"] == "htp:SM8750"
    assert layers["images"] == told["images"] == 1
    assert layers["precision"] == "fp16"
    assert plot.stat().st_size > 0
    assert layers["simulator"].startswith("the NPU of a Snapdragon 8 Elite (SM8750)")
    assert float(layers["untouched_db"]) > 20, "inner tensors as outputs change little"
    own = [float(row["own_sqnr_db"]) for row in layers["layers"]]  # "inf" is text in JSON
    assert 40 < min(own) < 80, "sums in float16, fused otherwise"
    print_layers(LayerReport.from_json(layers))
    shown = capsys.readouterr().out
    assert "simulated: the NPU of a Snapdragon 8 Elite (SM8750)" in shown
    assert f"most is lost in {layers['worst'][0]}" in " ".join(shown.split())


@pytest.mark.slow
def test_what_a_phone_gave_is_held_to_the_gates(
    measured: Callable[..., Path],
    files: Path,
    lively_run: Path,
    phantom_set: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact = files / "acne-test-fp32.onnx"
    result = str(measured(artifact, phantom_set, tmp_path))
    verify = command("verify", artifact, lively_run, phantom_set)
    told = document(capsys, [*verify, "--measured", result])
    assert told["runtime"] == "1.0 on a phone"
    here = document(capsys, verify)
    assert told["agreement"] == here["agreement"]
    assert told["faults"] == here["faults"] == []
    capsys.readouterr()
    assert run([*verify, "--measured", result, "--min-sqnr-db", "1000"]) == 1
    assert "1000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--under", "htp:SM9999"], "no chip 'SM9999'"),
        (["--under", "tpu"], "nothing simulates 'tpu'; there are htp, gpu, emulated:CPU"),
        (["--under", "htp", "--measured", "x.json"], "leave one of the two out"),
        (["--measured", "x.json", "--layers"], "pass --under for the layers of an accelerator"),
        (["--under", "htp", "--repro", "failing"], "--repro writes a folder that runs on this"),
        (["--under", "emulated:cortex-a76", "--layers"], "takes images, and none of the values"),
        (
            ["--under", "gpu", "--plot", "layers.png"],
            "acne-test-fp32.onnx: gpu takes no ONNX files",
        ),
        (["--measured", "x.json"], "x.json is no result: x.json is missing"),
    ],
)
def test_what_goes_together_with_nothing(
    options: list[str],
    reason: str,
    files: Path,
    lively_run: Path,
    phantom_set: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact = files / "acne-test-fp32.onnx"
    capsys.readouterr()
    assert run([*command("verify", artifact, lively_run, phantom_set), *options]) == 2
    assert reason in capsys.readouterr().err


def test_files_without_a_spec_go_on_no_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(name, 1, [1, 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    path = tmp_path / "theirs.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path
    )
    capsys.readouterr()
    assert run(["verify", str(path), "--reference", str(path), "--under", "htp"]) == 2
    assert "has no spec, so that no device takes it" in capsys.readouterr().err
