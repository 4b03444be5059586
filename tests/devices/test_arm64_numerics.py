"""INT8 on this machine and on an emulated arm64: the same arithmetic, whichever kernels do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shared_library import shared

from edgeskin.benchmarks.bench import bench_all
from edgeskin.benchmarks.devices import Device
from edgeskin.benchmarks.devices.emulated import EmulatedLink
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.protocol import PROTOCOLS
from edgeskin.benchmarks.result import BenchResult
from edgeskin.benchmarks.runner.libraries import library
from edgeskin.benchmarks.setup import Choice, Setup
from edgeskin.errors import RunFailed
from edgeskin.formats import open_session

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("can_emulate")]
Convert = Callable[..., Path]
SHORT = replace(PROTOCOLS["quick"], warmup_runs=1, warmup_s=0, queries=2, loads=1, profile_runs=1)


def on_arm64(artifact: Path, pack: Pack, out: Path, **choice: Any) -> BenchResult:
    with Device(EmulatedLink("cortex-a76", out / "work")) as device:  # not the user's folder for it
        options: dict[str, Any] = {"protocol": SHORT, "choice": Choice(**choice)}
        [result] = bench_all([artifact], pack, device, out, **options)
    assert result.accuracy.bit_equal_inputs == 1.0
    return result


def test_reference_kernels_agree_to_the_bit(
    tiny_file: Convert, tiny_pack: Pack, tmp_path: Path
) -> None:
    """The control: integer arithmetic as it is written has one result on every machine."""
    artifact = tiny_file("tflite", "int8", "tensor")
    result = on_arm64(artifact, tiny_pack, tmp_path, accelerator="reference")
    host = result.accuracy.host
    assert set(host.bit_equal.values()) == {1.0}
    assert (result.engine.accelerator, host.engine.accelerator) == ("reference",) * 2
    assert result.latency.operators.delegated == ()
    assert "emulated: numerics are the device's, times mean nothing" in result.doubts


def test_xnnpack_differs_by_one_step_at_most(
    tiny_file: Convert, tiny_pack: Pack, tmp_path: Path
) -> None:
    artifact = tiny_file("tflite", "int8", "tensor")
    result = on_arm64(artifact, tiny_pack, tmp_path)
    agreement = result.accuracy.host.agreement
    with open_session(artifact) as session:
        step = {output.name: output.scale or 0 for output in session.outputs}
    # A sum of two rounded numbers may round the other way: one step. The area is 10 times its
    # output, and no output of a softmax moves by more than half of what all inputs move by: the
    # rows of its Jacobian sum to 2 p (1 - p) in absolute value.
    assert agreement["area"].max_difference <= 10 * step["area"] * (1 + 1e-6)
    assert agreement["severity"].max_difference <= step["severity"] / 2
    placement = result.latency.operators.placement
    assert [op.name for op in placement.plan] == ["TfLiteXNNPackDelegate"]


def test_an_older_system_gets_the_tflite_c_api(
    tiny_file: Convert, tiny_pack: Pack, tmp_path: Path
) -> None:
    """What a device with glibc 2.31 is given runs as well, but for the reference kernels."""
    artifact, facts = tiny_file("tflite", "int8"), Facts(machine="aarch64", glibc="2.31")
    older = Setup.of(artifact, tiny_pack, facts, Choice(), tmp_path).files["libLiteRt.so"]
    result = on_arm64(artifact, tiny_pack, tmp_path, library=older)
    assert result.engine.version.startswith("TensorFlow Lite 2.")
    assert result.accuracy.host.engine.version.startswith("LiteRT")
    for name, output in result.accuracy.host.agreement.items():
        assert output.sqnr_db > 35, name  # int8 steps rounded the other way here and there
    with pytest.raises(RunFailed, match="the TfLite C API has no reference kernels"):
        on_arm64(artifact, tiny_pack, tmp_path / "b", library=older, accelerator="reference")


@pytest.mark.parametrize(
    ("struct", "accessor"),
    [
        ("TfLiteContext", "unsigned long TfLiteOpaqueContextGetNumTensors(void *of)"),
        ("TfLiteNode", "int TfLiteOpaqueNodeNumberOfInputs(void *of)"),
        ("TfLiteNode", "int TfLiteOpaqueNodeNumberOfOutputs(void *of)"),
    ],
)
def test_an_accessor_that_says_otherwise_than_its_struct(
    struct: str, accessor: str, tiny_file: Convert, tiny_pack: Pack, tmp_path: Path
) -> None:
    real = library("tflite", "aarch64", "2.31")
    other = shared(f"{accessor} {{ return 77; }}", tmp_path, real, target="aarch64-linux-gnu.2.27")
    refusal = rf"TensorFlow Lite 2\.21\.0\S* has another {struct} than 2\.10 to 2\.21"
    with pytest.raises(RunFailed, match=refusal):
        on_arm64(tiny_file("tflite", "int8"), tiny_pack, tmp_path, library=other)
