"""Metadata is read back from files that the formats' own libraries wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import model_files
import onnx
import pytest

from edgeskin.artifacts import (
    Evidence,
    Metadata,
    check_manifest,
    read_manifest,
    read_metadata,
    record,
)
from edgeskin.errors import InvalidArtifact, InvalidSpec
from edgeskin.files import sha256
from edgeskin.spec import ClassificationHead, InputSpec, RegressionHead, Spec

SPEC = Spec(
    name="tiny",
    task="acne",
    arch="mobilenet_v3_small",
    input=InputSpec(height=32, width=32, resize_to=36, mean=(0.5,) * 3, std=(0.25,) * 3),
    heads=(
        ClassificationHead(name="severity", labels=("klar", "mäßig", "schwer")),
        RegressionHead(name="area", unit="mm2"),
    ),
    license="Apache-2.0",
    intended_use="A test.",
)
METADATA = Metadata(SPEC, "app", "fp32", "1.2.3")


def write_onnx(path: Path, entries: dict[str, str]) -> None:
    """A whole model with one operator, by onnx's own writer."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [1])],
        [value("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, entries)
    onnx.save(model, path)


def write_coreml(path: Path, entries: dict[str, str]) -> None:
    """A package with a bare model description, by coremltools' protobuf."""
    model_pb2 = pytest.importorskip("coremltools.proto.Model_pb2")
    model = model_pb2.Model(specificationVersion=7)
    model.description.metadata.shortDescription = "first, so that fields are skipped"
    model.description.metadata.userDefined.update(entries)
    file = path / "Data/com.apple.CoreML/model.mlmodel"
    file.parent.mkdir(parents=True)
    file.write_bytes(model.SerializeToString())
    model_files.manifest(path)


def write_tflite(path: Path, entries: dict[str, str]) -> None:
    """The identifier of a TFLite file, something after it, and the archive behind."""
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(256)) * 8)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("edgeskin.json", json.dumps(entries))


WRITERS = {".onnx": write_onnx, ".mlpackage": write_coreml, ".tflite": write_tflite}
Writer = Callable[[Path, dict[str, str]], None]


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"model{request.param}"
    WRITERS[request.param](path, METADATA.entries())
    return path


def model_file(path: Path) -> Path:
    return path / "Data/com.apple.CoreML/model.mlmodel" if path.is_dir() else path


def test_metadata_comes_back_whole(written: Path) -> None:
    assert read_metadata(written) == METADATA


@pytest.mark.parametrize("keep", [0, 7, 0.5, -1])
def test_truncated_file_is_refused(written: Path, keep: float) -> None:
    file = model_file(written)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else int(keep)])
    with pytest.raises(InvalidArtifact, match=r"truncated|not a|carries no"):
        read_metadata(written)


@pytest.mark.parametrize("suffix", WRITERS)
def test_file_of_another_tool_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"foreign{suffix}"
    WRITERS[suffix](path, {"author": "somebody"})
    with pytest.raises(InvalidArtifact, match="another tool"):
        read_metadata(path)


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_noise_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(b"\xff" * 4096)
    with pytest.raises(InvalidArtifact, match="not a"):
        read_metadata(path)


def test_newer_spec_is_refused(written: Path) -> None:
    entries = METADATA.entries()
    entries["edgeskin.spec"] = entries["edgeskin.spec"].replace('"version":1', '"version":2', 1)
    path = written.with_name(f"newer{written.suffix}")
    WRITERS[written.suffix](path, entries)
    with pytest.raises(InvalidSpec, match=r"version 2.*Upgrade edgeskin"):
        read_metadata(path)


def test_missing_and_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match="is missing"):
        read_metadata(tmp_path / "no.tflite")
    with pytest.raises(InvalidArtifact, match=r"none of \.tflite, \.mlpackage, \.onnx"):
        read_metadata(tmp_path / "model.pt")


def entry_of(digest: str, **others: object) -> dict[str, object]:
    """A manifest's entry; a float file has a `null` where an INT8 one has scales."""
    identity = {"target": "onnx", "precision": "fp32", "io": "app", "size_bytes": 1}
    return {"sha256": digest, **identity, "scales": None, **others}


def test_manifest_names_the_file_by_its_hash(written: Path) -> None:
    assert check_manifest(written) is None  # nothing names it yet
    entry = entry_of(sha256(written))
    document = {"version": 1, "artifacts": {written.name: entry}}
    (written.parent / "manifest.json").write_text(json.dumps(document))
    read = check_manifest(written)
    assert read is not None
    assert read.to_json() == entry
    assert (read.precision, read.speed, read.warnings) == ("fp32", None, ())
    with model_file(written).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InvalidArtifact, match="is not the file its manifest names: sha256"):
        check_manifest(written)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"version": 1, "artifacts": 3}', "is damaged"),
        (
            '{"version": 1, "artifacts": {"a.onnx": {}}}',
            "damaged.*sha256: Field required",
        ),
        ('{"version": 2, "artifacts": {}}', "version 2; upgrade"),
    ],
)
def test_damaged_manifest_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InvalidArtifact, match=why):
        read_manifest(tmp_path)


def test_another_programs_manifest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"short_name": "a web app", "version": "2.1"}')
    (tmp_path / "model.onnx").write_bytes(b"")
    assert check_manifest(tmp_path / "model.onnx") is None


def test_evidence_is_kept_by_data_set_where_a_manifest_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    first = Evidence(artifact="model.onnx", data="acne", split="test")
    record(path, first)
    assert read_manifest(tmp_path) == {}  # nothing names it
    entries = {"model.onnx": entry_of("0"), "other.onnx": entry_of("1", of_a_newer_one=[1.5])}
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "artifacts": entries}))
    record(path, first)
    second = first.model_copy(update={"data": "phantoms"})
    record(path, second)
    kept = {"acne/test": first.to_json(), "phantoms/test": second.to_json()}
    entries["model.onnx"]["verification"] = kept
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written == {"version": 1, "artifacts": entries}
    assert read_manifest(tmp_path)["model.onnx"].verification == kept


def test_evidence_of_several_processes_is_all_kept(tmp_path: Path) -> None:
    document = {"version": 1, "artifacts": {"model.onnx": entry_of("0")}}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    code = (
        "import sys; from pathlib import Path; from edgeskin.artifacts import Evidence, record\n"
        "path = Path(sys.argv[1])\n"
        "for i in range(10):\n"
        "    data = sys.argv[2] + str(i)\n"
        "    record(path, Evidence(artifact=path.name, data=data, split='s'))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.onnx")]
    started = [subprocess.Popen([*command, name]) for name in "abc"]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert len(read_manifest(tmp_path)["model.onnx"].verification or {}) == 30


def test_reading_metadata_needs_no_converter(written: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgeskin.artifacts import read_metadata; "
        f"read_metadata(Path({str(written)!r})); "
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'coremltools', 'flatbuffers') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
