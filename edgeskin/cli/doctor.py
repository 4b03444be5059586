"""`edgeskin doctor`: what works here, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import asdict, dataclass

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json

PARTS = {
    "train": ("torch", "torchvision", "timm", "lightning-fabric", "scikit-learn"),
    "ssl": ("lightly",),
    "quantize": ("torchao",),
    "nncf": ("nncf",),
    "keras": ("keras", "h5py"),
    "run-tflite": ("ai-edge-litert",),
    "run-onnx": ("onnx", "onnxruntime"),
    "run-coreml": ("coremltools",) if sys.platform == "darwin" else ("coremltools", "torch"),
    "tflite": ("litert-torch", "ai-edge-quantizer"),
    "onnx": ("onnxscript",),
    "data": ("pyarrow",),
    "heic": ("pillow-heif",),
    "plot": ("matplotlib",),
    "bench": ("ziglang",),
    "bundle": ("jinja2", "cyclonedx-python-lib", "pyelftools", "clang-format", "ziglang"),
    "report": ("jinja2", "matplotlib", "pyarrow", "huggingface-hub", "perfetto"),
}


@dataclass(frozen=True)
class Installation:
    """What is installed here; no `Document`, for it must say so where pydantic is broken.

    `packages` are versions by part and package, None where one is missing; `runs_here` says
    which target's files run on this machine; `missing` are the parts that are not whole.
    """

    python: str
    machine: str
    packages: dict[str, dict[str, str | None]]
    runs_here: dict[str, bool]
    missing: list[str]


def doctor(json: Json = False) -> None:
    """Say which targets and runtimes work on this machine; exit 1 if a part is missing."""
    parts = {part: _versions(packages) for part, packages in PARTS.items()}
    runs = {
        "tflite": "ai-edge-litert" in _installed(parts["run-tflite"]),
        "onnx": "onnxruntime" in _installed(parts["run-onnx"]),
        "coreml": sys.platform == "darwin" and "coremltools" in _installed(parts["run-coreml"]),
    }
    installation = Installation(
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        packages=parts,
        runs_here=runs,
        missing=[part for part, found in parts.items() if None in found.values()],
    )
    if json:
        console.emit(asdict(installation))
    else:
        _print(installation)
    if installation.missing:
        raise typer.Exit(1)


def _print(installation: Installation) -> None:
    rows = []
    for part, packages in installation.packages.items():
        good = None not in packages.values()
        found = ", ".join(f"{name} {version or 'MISSING'}" for name, version in packages.items())
        rows.append((part, "ok" if good else f"pip install 'edgeskin[{part}]'", found))
    machine = f"Python {installation.python} on {installation.machine}"
    console.table(machine, ("part", "state", "packages"), rows)
    missing = set(installation.missing)
    for target, runs in installation.runs_here.items():
        converts = missing.isdisjoint({"train", f"run-{target}", target})
        where = "runs here" if runs else "does not run here"
        if target == "coreml" and not runs and converts:
            where = "is checked here by the meaning of its program, predicts on macOS only"
        print(f"{target}: {'converts' if converts else 'does not convert'} here, {where}")


def _versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _installed(versions: dict[str, str | None]) -> set[str]:
    return {name for name, version in versions.items() if version is not None}
