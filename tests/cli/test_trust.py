"""`--trust`: every command that builds a run's network asks for it, and passes it on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import acne_spec

from edgeskin.cli.main import run

Refused = Callable[..., str]
COMMANDS = {
    "import": "import --model os:system --model-args {arguments} --weights {run}/w --spec {spec}",
    "predict": "predict {run} {data}",
    "calibrate": "calibrate {run} --data {data} --samples 8",
    "qat": "qat {run} --data {data} --samples 8",
    "pack": "pack {run} --data {data}",
    "convert": "convert {run} --target onnx",
    "convert int8": "convert {run} --target onnx --precision int8 --data {data} --samples 8",
    "verify": "verify {file} --reference {run} --data {data}",
    "drift": "drift {file} --reference {run} --data {data}",
    "inspect": "inspect {file} --reference {run} --data {data}",
}
NO_OUT = ("predict", "verify", "drift", "inspect")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_that_names_a_command(
    name: str, phantom_set: Path, tiny_file: Callable[..., Path], tmp_path: Path, refused: Refused
) -> None:
    marker, sent = tmp_path / "it_ran", tmp_path / "sent"
    arguments = {"command": f">{marker}"}
    sent.mkdir()
    spec = acne_spec(arch="os:system", arch_args=arguments)
    (sent / "spec.json").write_text(spec.to_json())
    (sent / "weights.safetensors").write_bytes(b"")
    given = {"run": sent, "data": phantom_set, "file": tiny_file("onnx", "fp32")}
    given |= {"spec": sent / "spec.json"}
    parts = COMMANDS[name].split()
    command = [part.format(**given, arguments=json.dumps(arguments)) for part in parts]
    out = [] if name in NO_OUT else ["--out", str(tmp_path / "out.pt2")]

    line = refused(*command, *out)  # which leaves no file
    assert line.startswith("'os:system' was not run: a factory is code")
    assert run([*command, *out, "--trust"]) == 2
    assert marker.exists()
