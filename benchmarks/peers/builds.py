"""Every file of a model, each made in a process of its own and kept until its makings change.

    python -m edgeskin.benchmarks.peers.builds STEP FOLDER

is what such a process runs. `FOLDER` belongs to one model: its `spec.json`, what
`STEPS` make of it, and beside each file its key (`FILE.key`), which changes with
the spec, the tools' versions, and the code that makes it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from edgeskin.document import Document
from edgeskin.files import atomic
from edgeskin.spec import Spec

TIMEOUT_S = 1800.0
TOOLS = (
    *("torch", "torchao", "timm", "numpy", "litert-torch", "litert-converter", "ai-edge-litert"),
    *("ai-edge-quantizer", "onnx", "onnxscript", "onnxruntime"),
)
PEERS = "edgeskin.benchmarks.peers"
Tell = Callable[[str], None]


class Failure(Document):
    """Why a tool could not make or run a file, in one line."""

    failed: str


@dataclass(frozen=True)
class Step:
    """A file, `module:function` that writes it, the files it is made of, and whose code counts."""

    file: str
    make: str
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


STEPS = {
    step.file: step
    for step in (
        Step("run", "zoo:make_run", packages=("edgeskin.models.deeplab",)),
        Step("samples.npz", "zoo:make_samples", ("run",)),
        Step("litert-float.tflite", "stock:litert_float", ("run",)),
        Step(
            "litert-stock.tflite",
            "stock:litert_int8",
            ("run", "samples.npz", "litert-float.tflite"),
        ),
        Step("onnx-float.onnx", "stock:onnx_float", ("run",)),
        Step("onnx-stock.onnx", "stock:onnx_int8", ("run", "samples.npz", "onnx-float.onnx")),
        Step(
            "onnx-stock_x86.onnx",
            "stock:onnx_int8_for_x86",
            ("run", "samples.npz", "onnx-float.onnx"),
        ),
        Step(
            "program.pt2",
            "ours:make_program",
            ("run", "samples.npz"),
            packages=("edgeskin.calibration",),
        ),
        Step(
            "litert-edgeskin.tflite",
            "ours:make_tflite",
            ("program.pt2",),
            packages=("edgeskin.converters",),
        ),
        Step(
            "onnx-edgeskin.onnx",
            "ours:make_onnx",
            ("program.pt2",),
            packages=("edgeskin.converters",),
        ),
    )
}


def build(spec: Spec, folder: Path, wanted: Iterable[str], tell: Tell) -> dict[str, str]:
    """Make `wanted` files and what they need in `folder`, unless they are there already.

    Returns:
        What failed, with the reason in one line. Nothing is raised for it: a tool that
        cannot make its file is a result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(spec.to_json(indent=2) + "\n", encoding="utf-8")
    needed = _closure(wanted)
    failed: dict[str, str] = {}
    for step in (step for step in STEPS.values() if step.file in needed):
        missing = next((name for name in step.needs if name in failed), None)
        if missing is not None:
            failed[step.file] = f"needs {missing}, which failed: {failed[missing]}"
        elif not _is_current(step, folder):
            tell(f"{spec.name}: making {step.file}")
            if problem := _run(step, folder):
                failed[step.file] = problem
    return failed


def provide(folder: Path, spec: Spec, files: Iterable[str]) -> None:
    """Take `files`, which lie in `folder` already, for what their steps would make."""
    (folder / "spec.json").write_text(spec.to_json(indent=2) + "\n", encoding="utf-8")
    for file in files:
        (folder / f"{file}.key").write_text(key(STEPS[file], folder))


def _closure(wanted: Iterable[str]) -> set[str]:
    needed = set(wanted)
    for step in reversed(STEPS.values()):
        if step.file in needed:
            needed |= set(step.needs)
    return needed


def _is_current(step: Step, folder: Path) -> bool:
    mark = folder / f"{step.file}.key"
    return (
        (folder / step.file).exists() and mark.is_file() and mark.read_text() == key(step, folder)
    )


def key(step: Step, folder: Path) -> str:
    """SHA-256 over all that decides what the file is, as hex."""
    digest = hashlib.sha256((folder / "spec.json").read_bytes())
    module = f"{PEERS}.{step.make.partition(':')[0]}"
    for name in (module, *step.packages):
        for path in _sources(name):
            digest.update(path.read_bytes())
    digest.update(repr(tool_versions()).encode())
    for need in step.needs:
        digest.update(key(STEPS[need], folder).encode())
    return digest.hexdigest()


def _sources(name: str) -> list[Path]:
    spec = find_spec(name)
    assert spec is not None
    if spec.submodule_search_locations is None:
        return [Path(str(spec.origin))]
    return sorted(p for place in spec.submodule_search_locations for p in Path(place).rglob("*.py"))


def tool_versions() -> dict[str, str]:
    return {name: _version(name) for name in TOOLS}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _run(step: Step, folder: Path) -> str:
    """Why the step failed, in one line; empty where it did not. Its log stays if it did."""
    mark, log = folder / f"{step.file}.key", folder / f"{step.file}.log"
    mark.unlink(missing_ok=True)
    problem = run_process([f"{PEERS}.builds", step.file, str(folder)], log)
    if not problem:
        mark.write_text(key(step, folder))
        log.unlink(missing_ok=True)
    return problem


def run_process(arguments: list[str], log: Path, timeout_s: float = TIMEOUT_S) -> str:
    """Run a module on one thread, its output in `log`; the last line of it where it failed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"took longer than {timeout_s:g} s and was ended"
    if done.returncode == 0:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
    return f"{brief(lines[-1] if lines else 'no output')} ({how})"


def brief(message: str) -> str:
    """A message for a table: absolute paths, nobody's business, cut to the file's name."""
    return re.sub(r"(?<!\S)/\S*/", "", message)[:300]


def main() -> None:
    import torch

    step, folder = STEPS[sys.argv[1]], Path(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module, _, function = step.make.partition(":")
    make = getattr(importlib.import_module(f"{PEERS}.{module}"), function)
    with atomic(folder / step.file, force=True) as fresh:
        make(folder, fresh)


if __name__ == "__main__":
    main()
