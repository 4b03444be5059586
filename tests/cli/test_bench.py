"""`edgeskin pack` and `edgeskin bench` as a person types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from commands import COMMAND, refusal

pytestmark = pytest.mark.slow


def test_pack_then_bench_on_this_machine(tiny_run: Path, phantom_set: Path, tmp_path: Path) -> None:
    from edgeskin.converters.from_source import convert

    convert(tiny_run, tmp_path / "app", target="onnx", precision="fp32")
    artifact = next((tmp_path / "app").glob("*.onnx"))
    pack, out = tmp_path / "pack", tmp_path / "out"
    options = ["--data", phantom_set, "--samples", "6", "--by", "severity", "--out", pack]
    subprocess.run([*COMMAND, "pack", tiny_run, *options], check=True, capture_output=True)
    arguments = [artifact, "--pack", pack, "--out", out, "--protocol", "quick", "--json"]
    done = subprocess.run(
        [*COMMAND, "bench", *map(str, arguments)], check=True, capture_output=True, text=True
    )
    [document] = json.loads(done.stdout)["results"]
    assert document["accuracy"]["equal_decisions"] == {"severity": 1.0, "count": 1.0}
    assert document["latency"]["summary"]["run"]["p50_ms"] > 0
    assert f"host--{artifact.name}.json" in {path.name for path in out.iterdir()}
    again = refusal("bench", artifact, "--pack", pack, "--out", out)
    assert again.endswith("exists already. Pass --force to replace it.")


def test_bench_without_a_pack(tmp_path: Path) -> None:
    line = refusal("bench", "x.onnx", "--pack", tmp_path, "--out", tmp_path / "out")
    assert line.endswith("is no pack: pack.json is missing. Make one with edgeskin pack.")


def test_bench_by_a_protocol_that_is_none(tmp_path: Path) -> None:
    options = ("--pack", tmp_path, "--out", tmp_path / "out", "--protocol", "slow")
    assert refusal("bench", "x.onnx", *options).startswith("no protocol 'slow'; there are quick")


@pytest.mark.parametrize(("emulated", "shown"), [(True, "-"), (False, "187.000")])
def test_times_of_an_emulated_device_are_no_figures(
    emulated: bool, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeskin.benchmarks.accuracy import Accuracy
    from edgeskin.benchmarks.result import (
        ArtifactIdentity,
        BenchedDevice,
        BenchResult,
        Latency,
        Load,
        Percentiles,
        Summary,
    )
    from edgeskin.benchmarks.runner.request import EngineUsed
    from edgeskin.cli.bench import _print

    p50 = Percentiles(p50_ms=187.0, p90_ms=188.0, p99_ms=189.0, mean_ms=187.0, min_ms=180.0)
    result = BenchResult.model_construct(  # what the table shows, no more
        device=BenchedDevice(name="emulated:cortex-a76", emulated=emulated),
        artifact=ArtifactIdentity.model_construct(name="a.onnx"),
        engine=EngineUsed.model_construct(accelerator="none"),
        accuracy=Accuracy.model_construct(equal_decisions={"severity": 1.0}),
        latency=Latency.model_construct(
            summary=Summary.model_construct(run=p50),
            loads=(Load(cold=True, load_ms=12.5, first_ms=1.0),),
            memory_kb={"peak": 81500},
        ),
    )
    _print([result], Path("out"))
    printed = capsys.readouterr().out
    assert shown in printed.split()
    assert ("187.000" in printed) is not emulated
