"""`edgeskin convert --for` and `inspect --for`, from the command line to the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeskin.artifacts import read_manifest
from edgeskin.benchmarks.devices.simulated import SIMULATORS
from edgeskin.benchmarks.result import Assigned, Part
from edgeskin.cli.main import run
from edgeskin.destinations import (
    DESTINATIONS,
    destinations_of,
    find_destination,
    is_portable,
    split_destinations,
    targets_for,
)
from edgeskin.errors import (
    CannotExpress,
    CannotFetch,
    DeviceFull,
    MissingPackage,
    MissingSymbol,
    RunFailed,
    UnknownName,
)
from edgeskin.formats import FORMATS, read_network

WHOLE = Assigned(
    provider="npu", whole=True, parts=(Part(provider="npu", operators={"Conv": 5, "Add": 2}),)
)
CUT = Assigned(
    provider="npu",
    whole=False,
    parts=(
        Part(provider="npu", operators={"Conv": 5}),
        Part(provider="CPUExecutionProvider", operators={"Resize": 2}),
    ),
)


@pytest.mark.slow
def test_a_file_for_an_npu(
    program: Path,
    int8: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(WHOLE, monkeypatch)
    out = tmp_path / "files"
    command = ["convert", str(program), "--out", str(out), "--for", "snapdragon:SM8750"]
    capsys.readouterr()
    assert run([*command, "--json"]) == 0, "slower here or not, it is not for this CPU"
    (told,) = json.loads(capsys.readouterr().out)  # the one target that it takes
    (entry,) = read_manifest(out).values()
    assert entry.target == "onnx"
    assert entry.portable is True
    assert told["destinations"] == ["snapdragon:SM8750"]
    assert entry.destinations == ("snapdragon:SM8750",)
    tried = entry.tried["snapdragon:SM8750"]
    assert (tried.whole, tried.taken, tried.by) == (True, 7, "simulated:htp:SM8750")
    assert told["tried"] == {"snapdragon:SM8750": tried.to_json()}
    assert entry.speed.p50_ms.keys() >= {"int8", "fp32"}
    assert entry.speed.for_speed is False
    assert moves(Path(told["path"])) < moves(int8)
    (ordinary,) = read_manifest(int8.parent).values()
    assert ordinary.portable is False
    assert ordinary.destinations == ("cpu",)
    assert ordinary.tried is None
    assert ordinary.speed.for_speed is True


def moves(path: Path) -> int:
    return sum(op.type in ("Transpose", "Reshape") for op in read_network(path).operators)


def answers(answer: Assigned | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulators' own tests are in tests/devices: here they say one thing."""

    def place(*_: Any) -> Assigned:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("edgeskin.verbs.place", place)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code", "line"),
    [
        (WHOLE, 0, "is taken whole by snapdragon (7 operators), by simulated:htp"),
        (CUT, 1, "is not taken whole by snapdragon: on the CPU are left 2 Resize"),
        (MissingPackage("pip install it"), 2, "was not tried for snapdragon: pip install it"),
        (CannotFetch("no index"), 2, "was not tried for snapdragon: no index"),
        (DeviceFull("no space"), 2, "was not tried for snapdragon: no space"),
        (MissingSymbol("no libfoo"), 2, "was not tried for snapdragon: no libfoo"),
        (
            RunFailed("rank 5"),
            1,
            "is refused by snapdragon: rank 5. It was made for cpu: convert --for snapdragon",
        ),
    ],
)
def test_inspect_answers_without_running(
    answer: Any,
    code: int,
    line: str,
    int8: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(answer, monkeypatch)
    capsys.readouterr()
    assert run(["inspect", str(int8), "--for", "snapdragon"]) == code
    shown = capsys.readouterr()
    assert f"{int8.name} {line}" in (shown.err if code else shown.out)


def test_targets_are_those_that_a_destination_takes() -> None:
    everything = list(FORMATS)
    assert targets_for(["cpu"], everything, every=True) == everything
    assert targets_for(["gpu", "ane"], everything, every=True) == ["tflite", "coreml"]
    assert targets_for(["gpu"], ["tflite"], every=False) == ["tflite"]
    with pytest.raises(CannotExpress, match="gpu takes tflite files, not coreml"):
        targets_for(["gpu"], ["coreml"], every=False)


def test_every_destination_takes_what_there_is() -> None:
    for destination in DESTINATIONS.values():
        assert bool(destination.targets) is (destination.name != "cpu")  # which takes any
        assert set(destination.targets) <= set(FORMATS)
        if destination.simulator is not None:
            simulator = SIMULATORS[destination.simulator]
            assert [FORMATS[t].runner for t in destination.targets] == [simulator.runtime]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("moon", "no destination 'moon'; there are cpu, "),
        ("gpu:X", "no chip 'X' of gpu; it has none to name"),
        ("snapdragon:SM9999", "no chip 'SM9999' of snapdragon; there are SM8450"),
    ],
)
def test_unknown_destinations(text: str, reason: str) -> None:
    with pytest.raises(UnknownName, match=reason):
        find_destination(text)


def test_each_file_is_for_those_that_take_it() -> None:
    both = split_destinations("cpu, gpu,cpu")
    assert both == ("cpu", "gpu")
    assert destinations_of(both, "onnx") == ("cpu",)
    assert not is_portable(destinations_of(both, "onnx"))
    assert is_portable(destinations_of(both, "tflite"))


@pytest.mark.slow
def test_what_cannot_be_for_it(
    program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "files")]
    for given, reason in (
        (["--for", "moon"], "no destination 'moon'"),
        (["--for", "gpu", "--target", "onnx"], "gpu takes tflite files, not onnx"),
        (["--for", "tensorrt"], "tensorrt takes symmetric scales, and this is a w8a8 program"),
    ):
        capsys.readouterr()
        assert run(["convert", str(program), *out, *given]) == 2
        assert reason in capsys.readouterr().err
        assert not (tmp_path / "files").exists()
