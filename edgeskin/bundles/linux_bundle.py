"""A CMake project for Linux and Jetson: the core, the models on ONNX Runtime, a typed C++ API."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from edgeskin.bundles.bundle_api import ModelApi
from edgeskin.bundles.bundle_plan import Files, Plan
from edgeskin.bundles.golden_files import golden_files
from edgeskin.bundles.named_heads import named_heads
from edgeskin.bundles.templating import render
from edgeskin.errors import MissingPackage
from edgeskin.native.core import lib
from edgeskin.pipelines.fit import find_head
from edgeskin.pipelines.pipeline_spec import MaskJoin, Region

_PROJECT = (
    "CMakeLists.txt",
    "README.md",
    "cmake/config.cmake.in",
    "cmake/onnxruntime.cmake",
    "core/CMakeLists.txt",
    "include/answers.hpp",
    "include/network.hpp",
    "src/json.hpp",
    "src/network.cpp",
    "tests/check.hpp",
)
"""Templates that are rendered once."""
_JOINED = ("include/join.hpp", "src/join.cpp")
"""Of bundles with a pipeline."""
_MODEL = {
    "include/model.hpp": "include/{name}/{model}.hpp",
    "include/model.h": "include/{name}/{model}.h",
    "src/model.cpp": "src/{model}.cpp",
    "src/model_c.cpp": "src/{model}_c.cpp",
    "cli/model.cpp": "cli/{model}.cpp",
    "tests/model_test.cpp": "tests/{model}_test.cpp",
}
"""Templates that are rendered for each model, and where to."""
LEAST_DB = {"int8": 15, "fp16": 35, "fp32": 80}
"""SQNR that a network must keep on another machine, in dB: integers are rounded differently by
processors with and without instructions for their dot products."""
_STYLE = (
    "{BasedOnStyle: Google, ColumnLimit: 100, DerivePointerAlignment: false, "
    "PointerAlignment: Right, PenaltyBreakAssignment: 200}"
)
"""Of clang-format: that of the native core."""


def linux_files(plan: Plan) -> Files:
    """The project's files, but for what every bundle has.

    Raises:
        MissingPackage: jinja2 or clang-format is not installed.
    """
    joined = any(model.join is not None for model in plan.models)
    out: Files = {}
    for template in (*_PROJECT, *(_JOINED if joined else ())):
        place = template.replace("include/", f"include/{plan.name}/")
        out[place] = render(
            f"linux/{template}", plan=plan, joined=joined, core_version=f"{lib.es_version()}.0.0"
        )
    for model in plan.models:
        context = _context(plan, model)
        for template, place in _MODEL.items():
            path = place.format(name=plan.name, model=model.snake)
            out[path] = render(f"linux/{template}", **context)
    for stage in plan.stages:
        out[f"models/{stage.file}"] = stage.path
        out[f"models/{stage.spec_file}"] = stage.spec.to_json().encode()
    native = Path(str(files("edgeskin.native")))
    formatted = _formatted(out)
    for source in [native / "edgeskin.h", *sorted((native / "src").iterdir())]:
        if source.suffix in (".h", ".cpp"):
            out[f"core/{source.relative_to(native).as_posix()}"] = source
    return out | formatted | golden_files(plan, "tests/golden")


def _context(plan: Plan, model: ModelApi) -> Mapping[str, object]:
    heads = named_heads(model.heads, "cpp", fields="snake", labels="snake")
    kinds = {head.kind for head in heads}
    return {
        "plan": plan,
        "model": model,
        "heads": heads,
        "kinds": kinds,
        "masks": "segmented" in kinds,
        "cases": plan.golden[model.name],
        "regions": _regions(model),
        "least_db": LEAST_DB[model.last.precision],
    }


def _regions(model: ModelApi) -> Mapping[str, object] | None:
    """Of a pipeline: the head of the first stage, and the classes of its regions by name."""
    if model.join is None:
        return None
    first, join = model.stages[0].spec, model.join
    parts: dict[str, Region] = (
        {"keep": join.keep}
        if isinstance(join, MaskJoin)
        else {"skin": join.skin, "lesion": join.lesion}
    )
    found = {name: find_head(region, first) for name, region in parts.items()}
    return {"head": next(iter(found.values())).name} | {
        name: [head.labels.index(label) for label in parts[name].labels]
        for name, head in found.items()
    }


def _formatted(files: Files) -> Files:
    """The C and C++ sources among the files, as clang-format has them."""
    try:
        from clang_format import get_executable
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "a bundle for linux needs clang-format: pip install 'edgeskin[bundle]'"
        ) from error
    command = [get_executable("clang-format"), f"--style={_STYLE}"]
    return {
        name: subprocess.run(
            [*command, f"--assume-filename={name}"], input=content, capture_output=True, check=True
        ).stdout
        for name, content in files.items()
        if isinstance(content, bytes) and name.endswith((".cpp", ".hpp", ".h"))
    }
