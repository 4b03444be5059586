"""`convert`: what it refuses before any work, what it leaves behind, and whole conversions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import model_files
import pytest
import torch
from processes import gone, wait_for
from tiny_network import network, tiny_spec

from edgeskin.artifacts import check_manifest, read_manifest, read_metadata
from edgeskin.calibration.program import Program, save_program
from edgeskin.calibration.record import CalibrationRecord
from edgeskin.calibration.rewrites import export
from edgeskin.conversion import Conversion, SelfCheck, SourceRecord
from edgeskin.converters import to_onnx, to_tflite
from edgeskin.converters.audit.describe import summary
from edgeskin.converters.audit.examine import audit
from edgeskin.converters.convert import convert_files
from edgeskin.converters.model import Job
from edgeskin.converters.options import ConversionOptions
from edgeskin.converters.process import Process
from edgeskin.errors import (
    CannotExpress,
    CannotWrite,
    ConversionFailed,
    InvalidArtifact,
    InvalidRun,
    MissingPackage,
    PartlyConverted,
    UnknownName,
)
from edgeskin.files import sha256
from edgeskin.formats import FORMATS, find_format
from edgeskin.models.archive import DOCUMENT, GRAPH_RECORD

# In place of the worker: writes its request as the file, and an answer of another.
QUICK = """
import json, os, sys
request = json.loads(sys.stdin.readline())
open(request['path'], 'w').write(request['precision'])
open(request['answer'] + '.fresh', 'w').write({answer!r})
os.rename(request['answer'] + '.fresh', request['answer'])
"""
CRASH = "import os; os.abort()"


def replace_worker(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(Process, "command", (sys.executable, "-S", "-c", code))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The code that is run in place of the worker."""
    answer = Conversion(
        source=SourceRecord(kind="run", name="run", sha256="0" * 64),
        scales=None,
        tools={},
        audit=summary(audit(model_files.tflite(tmp_path_factory.mktemp("other") / "other.tflite"))),
        parity=SelfCheck(runtime="none", samples=0, sqnr_db=None, outputs={}),
        speed=None,
    )
    code = QUICK.format(answer=json.dumps({"document": answer.to_json()}))
    replace_worker(monkeypatch, code)
    return code


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run as far as `convert` itself looks into it."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "spec.json").write_text(tiny_spec().to_json())
    (folder / "weights.safetensors").touch()
    return folder


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Refusals


@pytest.mark.parametrize(
    ("targets", "precisions", "why"),
    [
        (["tfilte"], ["fp32"], r"no target 'tfilte'; there are tflite, coreml, onnx"),
        (["onnx"], ["fp8"], r"no precision 'fp8'; there are fp32, fp16, int8"),
        ([], ["fp32"], "name at least one target"),
        (["onnx"], [], "name at least one target"),
    ],
)
def test_unknown_names(
    targets: list[str], precisions: list[str], why: str, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match=why):
        convert_files(run, targets, precisions, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_has_no_scales_and_a_program_no_floats(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRun, match=r"no scales for int8.*--data"):
        convert_files(run, ["onnx"], ["int8"], tmp_path / "out")
    program = tmp_path / "p.pt2"
    with zipfile.ZipFile(program, "w") as archive:  # what a program is recognised by
        for record in (GRAPH_RECORD, DOCUMENT):
            archive.writestr(f"program/{record}", "{}")
    with pytest.raises(InvalidRun, match=r"gives int8 only.*to fp16"):
        convert_files(program, ["onnx"], ["fp16"], tmp_path / "out")


def test_sources_that_are_none(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRun, match="is missing"):
        convert_files(tmp_path / "no", ["onnx"], ["fp32"], tmp_path / "out")
    with pytest.raises(InvalidRun, match="neither a run folder nor a program"):
        convert_files(tmp_path, ["onnx"], ["fp32"], tmp_path / "out")
    (run / "weights.safetensors").unlink()
    with pytest.raises(InvalidRun, match=r"no weights\.safetensors"):
        convert_files(run, ["onnx"], ["fp32"], tmp_path / "out")


def test_existing_files_are_refused_before_any_work(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_worker(monkeypatch, CRASH)  # work would fail in another way
    out = tmp_path / "out"
    out.mkdir()
    (out / "tiny-fp32.onnx").write_text("mine")
    with pytest.raises(CannotWrite, match=r"tiny-fp32\.onnx exists already. Pass --force"):
        convert_files(run, ["tflite", "onnx"], ["fp32"], out)
    assert (out / "tiny-fp32.onnx").read_text() == "mine"
    assert listing(out) == ["tiny-fp32.onnx"]


def test_damaged_manifest_is_refused_before_any_work(run: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InvalidArtifact, match="is damaged"):
        convert_files(run, ["onnx"], ["fp32"], tmp_path)


def test_out_that_is_a_file(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(CannotWrite, match="is a file, not a folder"):
        convert_files(run, ["onnx"], ["fp32"], tmp_path / "out")


def test_missing_package_names_the_extra(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "litert_torch" else find(name)
    )
    with pytest.raises(MissingPackage, match=r"litert-torch: pip install 'edgeskin\[tflite\]'"):
        convert_files(run, ["tflite"], ["fp32"], tmp_path / "out")


def test_tables_import_nothing_heavy() -> None:
    code = (
        "import sys, edgeskin.converters.convert; "
        "print([m for m in ('torch', 'onnx', 'coremltools', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_target_is_found_by_its_name() -> None:
    assert all(find_format(name) is target for name, target in FORMATS.items())


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("coreml", "the other 8 of the 16 would be lost"),
        ("tflite", "a narrower bias would overflow"),
    ],
)
def test_a_scheme_that_a_target_cannot_hold(target: str, why: str, tmp_path: Path) -> None:
    source = tmp_path / "tiny.pt2"
    save_program(source, Program(tiny_spec(), "w8a16", module=network("int8")))
    lines = rf"{target} cannot hold a w8a16 program: .*{why}\. Convert it to onnx, or calibrate"
    with pytest.raises(CannotExpress, match=lines):
        convert_files(source, ["onnx", target], ["int8"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# What is left behind


@pytest.mark.usefixtures("quick")
def test_manifest_keeps_what_was_there(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert_files(run, ["onnx"], ["fp32"], out)
    made = convert_files(run, ["tflite", "onnx", "onnx"], ["fp16"], out)
    assert [a.path.name for a in made] == ["tiny-fp16.tflite", "tiny-fp16.onnx"]
    entries = read_manifest(out)
    assert list(entries) == ["tiny-fp16.onnx", "tiny-fp16.tflite", "tiny-fp32.onnx"]
    assert listing(out) == ["manifest.json", *entries]
    entry = check_manifest(out / "tiny-fp16.tflite")
    assert entry is not None
    assert entry.sha256 == sha256(out / "tiny-fp16.tflite")
    assert (entry.target, entry.precision, entry.io) == ("tflite", "fp16", "app")
    assert entry.size_bytes == len("fp16")


@pytest.mark.usefixtures("quick")
def test_force_replaces_files_and_folders(run: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny-fp32.mlpackage").mkdir()
    (tmp_path / "tiny-fp32.mlpackage/old").touch()
    (tmp_path / "tiny-fp32.onnx").write_text("old")
    convert_files(run, ["coreml", "onnx"], ["fp32"], tmp_path, force=True)
    assert (tmp_path / "tiny-fp32.mlpackage").read_text() == "fp32"
    assert (tmp_path / "tiny-fp32.onnx").read_text() == "fp32"


def test_a_crash_leaves_its_log_and_the_files_of_the_others(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: str
) -> None:
    out = tmp_path / "out"
    on_onnx = f"\nif request['target'] == 'onnx': {CRASH}\nopen(request['path']"
    replace_worker(monkeypatch, quick.replace("\nopen(request['path']", on_onnx))
    with pytest.raises(PartlyConverted, match=r"tiny-fp32\.onnx crashed with SIGABRT") as caught:
        convert_files(run, ["tflite", "onnx"], ["fp32"], out, ConversionOptions(workers=1))
    assert [artifact.path.name for artifact in caught.value.artifacts] == ["tiny-fp32.tflite"]
    assert listing(out) == ["manifest.json", "tiny-fp32.onnx.log", "tiny-fp32.tflite"]
    (out / "tiny-fp32.onnx.log").unlink()
    replace_worker(monkeypatch, quick)
    convert_files(run, ["onnx"], ["fp32"], out)  # and it can simply be tried again
    assert listing(out) == ["manifest.json", "tiny-fp32.onnx", "tiny-fp32.tflite"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_ctrl_c_leaves_nothing(run: Path, tmp_path: Path) -> None:
    out, pid_file = tmp_path / "out", tmp_path / "pid"
    hang = (
        "import os, time\n"
        f"open({str(pid_file)!r} + '.fresh', 'w').write(str(os.getpid()))\n"
        f"os.rename({str(pid_file)!r} + '.fresh', {str(pid_file)!r})\n"
        "time.sleep(600)"
    )
    code = (
        "import sys; from pathlib import Path\n"
        "from edgeskin.converters.convert import convert_files\n"
        "from edgeskin.converters.process import Process\n"
        f"Process.command = (sys.executable, '-S', '-c', {hang!r})\n"
        f"convert_files(Path({str(run)!r}), ['onnx'], ['fp32'], Path({str(out)!r}))"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    worker = int(wait_for(pid_file))
    command.send_signal(signal.SIGINT)
    _, stderr = command.communicate(timeout=20)
    assert "KeyboardInterrupt" in stderr
    assert gone(worker)
    assert not out.exists()


# Whole conversions


@pytest.mark.slow
def test_run_to_onnx_and_back(tiny_run: Path, tmp_path: Path) -> None:
    (made,) = convert_files(tiny_run, ["onnx"], ["fp32"], tmp_path / "out")
    metadata = read_metadata(made.path)
    assert metadata.spec.to_json() == json.dumps(
        json.loads((tiny_run / "spec.json").read_text()), separators=(",", ":")
    )
    entry = check_manifest(made.path)
    assert entry is not None
    assert entry.parity.runtime.startswith("ONNX Runtime ")
    assert entry.source is not None
    assert entry.source.to_json() == {
        "kind": "run",
        "name": tiny_run.name,
        "sha256": sha256(tiny_run / "weights.safetensors"),
    }
    assert entry.scales is None
    assert entry.audit == made.audit
    assert entry.audit.weights.keys() == {"float32"}
    assert {"edgeskin", "torch", "onnx"} <= entry.tools.keys()
    assert listing(tmp_path / "out") == ["acne-test-fp32.onnx", "manifest.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "module", "name"),
    [("tflite", to_tflite, "_lowered"), ("onnx", to_onnx, "_exported")],
)
def test_float_files_have_the_lowering_in_common(
    target: str,
    module: ModuleType,
    name: str,
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lower = getattr(module, name)
    jobs: list[Job] = []
    monkeypatch.setattr(module, name, lambda job: jobs.append(job) or lower(job))
    together = convert_files(tiny_run, [target], ["fp32", "fp16"], tmp_path / "out")
    assert len(jobs) == 1
    alone = [
        convert_files(tiny_run, [target], [p], tmp_path / "alone")[0] for p in ("fp32", "fp16")
    ]
    assert len(jobs) == 3
    assert [a.sha256 for a in together] == [a.sha256 for a in alone]


@pytest.mark.slow
def test_program_to_three_targets_side_by_side(tmp_path: Path) -> None:
    source = tmp_path / "tiny.pt2"
    save_program(
        source, Program(tiny_spec(), "w8a8", CalibrationRecord(images=4), module=network("int8"))
    )
    options = ConversionOptions(io="tensor", timing=False)
    made = convert_files(source, list(FORMATS), ["int8"], tmp_path / "out", options)
    assert [a.path.suffix for a in made] == [".tflite", ".mlpackage", ".onnx"]
    for artifact in made:
        entry = check_manifest(artifact.path)
        assert entry is not None
        assert read_metadata(artifact.path).io == entry.io == "tensor"
        assert (entry.scales["scheme"], entry.scales["images"]) == ("w8a8", 4)
        assert entry.scales["weights"] == 6
        assert entry.audit.multiply_adds.int8_share == 1.0
        assert entry.scales["activations"] >= 6
        assert 0 < entry.scales["smallest_scale"] < entry.scales["largest_scale"]


@pytest.mark.slow
def test_a_program_that_does_not_name_what_it_leaves_in_float(tmp_path: Path) -> None:
    """A float graph that calls itself w8a8, without a record of exclusions."""
    source, spec = tmp_path / "float.pt2", tiny_spec()
    graph = export(network("fp32"), torch.zeros(1, 3, spec.input.height, spec.input.width))
    save_program(source, Program(spec, "w8a8", module=graph))
    why = r"only 0\.0 % of the multiply-adds of its program are in INT8 and it names no exclusions"
    with pytest.raises(ConversionFailed, match=why):
        convert_files(source, ["onnx"], ["int8"], tmp_path / "out")
    assert listing(tmp_path / "out") == ["tiny-int8.onnx.log"]


@pytest.mark.slow
def test_weights_that_do_not_fit_are_one_line_without_a_log(tiny_run: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_run, tmp_path / "broken")
    os.truncate(broken / "weights.safetensors", 1000)
    with pytest.raises(InvalidRun, match=r"weights\.safetensors is damaged"):
        convert_files(broken, ["onnx"], ["fp32"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_timeout_ends_a_real_worker(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeskin.converters.convert.Process", Process)
    with pytest.raises(ConversionFailed, match=r"took longer than 0\.3 s"):
        convert_files(
            tiny_run, ["onnx"], ["fp32"], tmp_path / "out", ConversionOptions(timeout_s=0.3)
        )
    assert listing(tmp_path / "out") == ["acne-test-fp32.onnx.log"]
