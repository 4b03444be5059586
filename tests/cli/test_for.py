"""`edgeskin convert --for` and `inspect --for`, from the command line to the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qualcomm import npu

from edgeskin.artifacts import check_manifest, read_manifest, read_metadata
from edgeskin.benchmarks.devices.simulated import SIMULATORS
from edgeskin.cli.main import run
from edgeskin.conversion import Tried
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
from edgeskin.formats.network import COMPILED

WHOLE = Tried(whole=True, by="QAIRT", taken=7)
CUT = Tried(whole=False, by="QAIRT", taken=5, left={"Resize": 2})
IN_PARTS = CUT.model_copy(update={"partitions": 3, "max_partitions": 3})
TOO_MANY = IN_PARTS.model_copy(update={"max_partitions": 2})
SAID = CUT.model_copy(update={"left_because": tuple(f"Resize {name}: no" for name in "abcd")})
NAMELESS = CUT.model_copy(update={"left": {}, "operators": 7})
UNCOUNTED = CUT.model_copy(update={"max_partitions": 9})


@npu
@pytest.mark.slow
def test_files_for_two_chips(
    program: Path, int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "files"
    command = ["convert", str(program), "--out", str(out), "--for", "snapdragon:SM8750,SM8650"]
    capsys.readouterr()
    assert run([*command, "--json"]) == 0, "slower here or not, it is not for this CPU"
    told = {Path(one["path"]).name: one for one in json.loads(capsys.readouterr().out)}
    entries = read_manifest(out)
    assert told.keys() == entries.keys()
    portable, compiled = (
        {name: one for name, one in entries.items() if bool(one.compiled) is wanted}
        for wanted in (False, True)
    )
    assert {one.target for one in portable.values()} == {"tflite", "onnx"}
    for name, entry in portable.items():
        assert entry.portable is True
        assert entry.destinations == ("snapdragon:SM8750", "snapdragon:SM8650")
        assert entry.tried.keys() == set(entry.destinations)
        assert all(one.whole and one.taken and not one.left for one in entry.tried.values())
        assert all(one.partitions == 1 for one in entry.tried.values())
        assert entry.cpu_cost is None, "it is for no CPU"
        assert told[name]["tried"] == {text: t.to_json() for text, t in entry.tried.items()}
        assert entry.speed.p50_ms.keys() >= {"int8", "fp32"}
        assert entry.speed.for_speed is False
        chips = {"SM8750", "SM8650"}
        assert chips == {c.compiled.chip for c in compiled.values() if c.target == entry.target}
    assert len(compiled) == 4
    for name, entry in compiled.items():
        path = out / name
        assert name.endswith(f"-{entry.compiled.chip}{path.suffix}")
        assert read_metadata(path).compiled == entry.compiled
        assert entry.compiled.source_sha256 in {one.sha256 for one in portable.values()}
        assert entry.destinations == (f"snapdragon:{entry.compiled.chip}",)
        assert (entry.parity, entry.speed, entry.source is None) == (None, None, False)
        (op,) = read_network(path).operators
        assert op.type in COMPILED
        assert check_manifest(path) == entry
        capsys.readouterr()
        assert run(["predict", str(path), str(tmp_path)]) == 2
        assert "is compiled for an accelerator, and runs nowhere else" in capsys.readouterr().err
    assert "SM8750" in next(out.glob("*.card.md")).read_text(encoding="utf-8")
    onnx = next(out / name for name, entry in portable.items() if entry.target == "onnx")
    assert moves(onnx) < moves(int8)
    (ordinary,) = read_manifest(int8.parent).values()
    assert ordinary.portable is False
    assert ordinary.destinations == ("cpu",)
    assert ordinary.tried is None
    assert ordinary.speed.for_speed is True
    again = ["convert", str(program), "--out", str(out), "--target", "onnx", "--no-timing"]
    assert run([*again, "--force"]) == 0
    left = read_manifest(out)
    assert {name for name, one in left.items() if one.compiled} == {
        name for name, one in compiled.items() if one.target == "tflite"
    }, "those of the file that was replaced are of another program"
    assert {path.name for path in out.glob("*SM8*")} == {n for n, e in left.items() if e.compiled}


def moves(path: Path) -> int:
    return sum(op.type in ("Transpose", "Reshape") for op in read_network(path).operators)


def answers(answer: Tried | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler's own tests are in tests/devices: here it says one thing."""

    def compile_for(*_: Any) -> Tried:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("edgeskin.verbs.compile_for", compile_for)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code", "line"),
    [
        (WHOLE, 0, "is taken whole by snapdragon (7 operators), by QAIRT"),
        (CUT, 1, "is not taken whole by snapdragon: on the CPU are left 2 Resize"),
        (
            IN_PARTS,
            0,
            "is taken in 3 parts by snapdragon (5 operators), by QAIRT: on the CPU are left 2 "
            "Resize",
        ),
        (TOO_MANY, 1, "2 Resize; the rest is 3 parts, and --max-partitions allows 2"),
        (UNCOUNTED, 1, "2 Resize; its parts are not counted"),
        (SAID, 1, "2 Resize (Resize a: no; Resize b: no; Resize c: no; and 1 more, in --json)"),
        (NAMELESS, 1, "on the CPU are left 2 of 7 operators"),
        (Tried(whole=False, by="LiteRT"), 1, "on the CPU are left some"),
        (MissingPackage("pip install it"), 2, "was not tried for snapdragon: pip install it"),
        (CannotFetch("no index"), 2, "was not tried for snapdragon: no index"),
        (DeviceFull("no space"), 2, "was not tried for snapdragon: no space"),
        (MissingSymbol("no libfoo"), 2, "was not tried for snapdragon: no libfoo"),
        (RunFailed("too long"), 1, "is refused by snapdragon: too long"),
        (
            Tried(whole=False, by="QAIRT", reason="rank 5"),
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
    text = shown.err if code else shown.out
    assert f"{int8.name} is" in text or f"{int8.name} was" in text
    assert line in text


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
            assert simulator.runtime in [FORMATS[t].runner for t in destination.targets]


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
    chips = split_destinations("snapdragon:SM8750, SM8650,gpu,SM8550")
    assert chips == ("snapdragon:SM8750", "snapdragon:SM8650", "gpu", "SM8550")
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
