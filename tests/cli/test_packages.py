"""What is installed: a missing package names its extra; doctor, models and schema say the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
from commands import SITECUSTOMIZE, refusal, snapshot
from samples import acne_spec

from edgeskin.cli import doctor
from edgeskin.cli.main import run
from edgeskin.models import ARCHS
from edgeskin.tasks import TASKS

TITLES = {"tflite": "TFLite", "onnx": "ONNX", "mlpackage": "Core ML"}


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., str]:
    """`without(packages, *arguments)`: the line of a command where they are not installed."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
    work = tmp_path / "work"
    work.mkdir()

    def call(packages: str, *arguments: object) -> str:
        path = os.pathsep.join((str(site), os.environ["PYTHONPATH"]))
        env = {**os.environ, "PYTHONPATH": path, "MISSING": packages}
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        line = refusal(*arguments, env=env, cwd=work)
        assert snapshot(work) == {}
        return line

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "target", "extra"),
    [
        ("ai_edge_litert", "tflite", "tflite"),
        ("litert_torch", "tflite", "tflite"),
        ("coremltools", "coreml", "coreml"),
        ("onnxscript", "onnx", "onnx"),
    ],
)
def test_convert(
    package: str, target: str, extra: str, lively_run: Path, without: Callable[..., str]
) -> None:
    line = without(package, "convert", lively_run, "--out", "out", "--target", target)
    name = package.replace("_", "-")
    assert line == f"converting to {target} needs {name}: pip install 'edgeskin[{extra}]'"


@pytest.mark.slow
def test_calibrate(lively_run: Path, phantom_set: Path, without: Callable[..., str]) -> None:
    command = ["calibrate", lively_run, "--data", phantom_set, "--out", "p.pt2"]
    line = without("nncf", *command, "--method", "nncf")
    assert "pip install 'edgeskin[nncf]'" in line
    assert line.endswith("or choose --method mse")
    assert without("torchao", *command) == (
        "torchao is not installed: pip install 'edgeskin[quantize]'"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "suffix", "extra"),
    [
        ("ai_edge_litert", "tflite", "run-tflite"),
        ("onnxruntime", "onnx", "run-onnx"),
        ("coremltools", "mlpackage", "run-coreml"),
        pytest.param(
            *("torch", "mlpackage", "run-coreml"),
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="Core ML needs no torch"),
        ),
    ],
)
def test_predict(
    package: str,
    suffix: str,
    extra: str,
    converted: Path,
    phantom_set: Path,
    without: Callable[..., str],
) -> None:
    image = next(phantom_set.rglob("*.png"))
    line = without(package, "predict", converted / f"acne-test-fp32.{suffix}", image)
    assert (
        line == f"running {TITLES[suffix]} files needs {package}: pip install 'edgeskin[{extra}]'"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "suffix", "format", "extra"),
    [
        ("ai_edge_litert", "tflite", "TFLite", "run-tflite"),
        ("onnx", "onnx", "ONNX", "run-onnx"),
        ("coremltools", "mlpackage", "Core ML", "run"),
    ],
)
def test_inspect(
    package: str,
    suffix: str,
    format: str,
    extra: str,
    converted: Path,
    without: Callable[..., str],
) -> None:
    line = without(package, "inspect", converted / f"acne-test-fp32.{suffix}")
    assert line == f"reading {format} files needs {package}: pip install 'edgeskin[{extra}]'"


@pytest.mark.parametrize("package", ["torch", "timm", "lightning_fabric"])
def test_train(package: str, phantom_set: Path, recipe: Path, without: Callable[..., str]) -> None:
    command = ["train", "--task", "acne", "--arch", "mobilenet_v3_small", "--data", phantom_set]
    line = without(package, *command, "--out", "run", "--recipe", recipe)
    assert line == f"{package} is not installed: pip install 'edgeskin[train]'"


def test_commands_that_need_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A machine that only runs artifacts has no torch."""
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "MISSING": "torch,timm,onnx,nncf,scipy"}
    for command in ("models", "schema", "--version", "--help"):
        done = subprocess.run(
            [sys.executable, "-m", "edgeskin.cli.main", command], env=env, capture_output=True
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout


def test_every_extra_of_doctor_is_one_of_the_project() -> None:
    import tomllib

    root = Path(__file__).resolve().parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for part, packages in doctor.PARTS.items():
        for package in packages:
            assert package in brought_by(extras[part]), (part, package)


def brought_by(lines: list[str]) -> set[str]:
    """The packages that requirement lines name, and those that these require themselves."""
    named = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in lines} - {"edgeskin"}
    deeper = [line for name in named for line in requires(name) or ()]
    return {name.replace("_", "-") for name in named} | {
        re.split(r"[^A-Za-z0-9_.-]", line)[0].replace("_", "-") for line in deeper
    }


def emitted(capsys: pytest.CaptureFixture[str], *command: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run(list(command)) == code
    return json.loads(capsys.readouterr().out)


def test_doctor_tells_versions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"train": ("torch", "timm"), "run-tflite": ("ai-edge-litert",)}
    here |= {"run-onnx": (), "run-coreml": ()}
    monkeypatch.setattr(doctor, "PARTS", here)
    found = emitted(capsys, "doctor", "--json")
    assert found["packages"]["train"] == {"torch": version("torch"), "timm": version("timm")}
    assert found["missing"] == []
    assert found["runs_here"] == {"tflite": True, "onnx": False, "coreml": False}


def test_doctor_names_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {**doctor.PARTS, "onnx": ("onnx", "no-such-package")}
    monkeypatch.setattr(doctor, "PARTS", parts)
    assert "onnx" in emitted(capsys, "doctor", "--json", code=1)["missing"]
    assert run(["doctor"]) == 1
    stdout = capsys.readouterr().out
    assert "no-such-package MISSING" in stdout
    assert "pip install 'edgeskin[onnx]'" in stdout


def test_models_lists_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    found = emitted(capsys, "models", "--json")
    assert found["tasks"].keys() == TASKS.keys()
    assert found["networks"].keys() == ARCHS.keys()
    assert run(["models"]) == 0
    stdout = capsys.readouterr().out
    assert all(name in stdout for name in (*TASKS, *ARCHS))


def test_the_schema_describes_a_real_spec(capsys: pytest.CaptureFixture[str]) -> None:
    schema = emitted(capsys, "schema")
    assert conforms(schema, schema, json.loads(acne_spec().to_json()))
    broken = json.loads(acne_spec().to_json())
    del broken["input"]["std"]
    assert not conforms(schema, schema, broken)
    assert not conforms(schema, schema, json.loads(acne_spec().to_json()) | {"nme": "x"})


def conforms(root: Any, schema: Any, value: Any) -> bool:
    """As much of JSON Schema as decides which fields a document may and must have."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return conforms(root, root["$defs"][name], value)
    for many in ("anyOf", "oneOf"):
        if many in schema:
            return any(conforms(root, option, value) for option in schema[many])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    match schema.get("type"):
        case "object" if "properties" in schema:
            return (
                isinstance(value, dict)
                and set(schema.get("required", ())) <= value.keys() <= schema["properties"].keys()
                and all(conforms(root, schema["properties"][k], v) for k, v in value.items())
            )
        case "array":
            items = schema.get("prefixItems") or [schema["items"]] * len(value)
            return isinstance(value, list) and all(
                conforms(root, item, v) for item, v in zip(items, value, strict=True)
            )
        case "integer" | "number":
            return isinstance(value, int | float)
        case "string":
            return isinstance(value, str)
        case "null":
            return value is None
    return True
