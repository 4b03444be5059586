"""A CMake project for Linux and Jetson: the core, the models on ONNX Runtime, a typed C++ API."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path

from edgeskin.bundles.bundle_api import ModelApi
from edgeskin.bundles.bundle_plan import Files, Plan
from edgeskin.bundles.golden_files import golden_files
from edgeskin.bundles.named_heads import named_heads
from edgeskin.bundles.templating import render
from edgeskin.bundles.words import KEYWORDS
from edgeskin.errors import InvalidSpec, MissingPackage
from edgeskin.native.core import lib

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
_OURS = """all answers clean edgeskin help install join linux main network onnxruntime package std
test unix"""
_RESERVED = KEYWORDS["cpp"] | set(_OURS.split())
"""What a namespace, a CMake target or a header beside the bundle's own cannot be called."""
_TYPE = re.compile(r"^(?:struct|class|enum class|using) (\w+)", re.MULTILINE)
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
        InvalidSpec: A class, a namespace or a file would have a name that is taken.
        MissingPackage: jinja2 or clang-format is not installed.
    """
    joined = any(model.join is not None for model in plan.models)
    out: Files = {}
    for template in (*_PROJECT, *(_JOINED if joined else ())):
        place = template.replace("include/", f"include/{plan.name}/")
        out[place] = render(
            f"linux/{template}", plan=plan, joined=joined, core_version=f"{lib.es_version()}.0.0"
        )
    types = {name for text in out.values() for name in _TYPE.findall(bytes(text).decode())}
    for model in plan.models:
        _check_names(model, types)
        context = _context(plan, model, types)
        for template, place in _MODEL.items():
            path = place.format(name=plan.name, model=model.snake)
            if path in out:
                raise InvalidSpec(f"{model.path} would write {path} twice. Give it another --name.")
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


def _check_names(model: ModelApi, types: Collection[str]) -> None:
    taken = {model.snake} & _RESERVED or {model.name, model.result} & set(types)
    if taken:
        raise InvalidSpec(
            f"{model.path} would be a class {model.name} in files called {model.snake}, and "
            f"{min(taken)} is a name of C++, CMake or the bundle's own. Give it another --name."
        )


def _context(plan: Plan, model: ModelApi, types: Collection[str]) -> Mapping[str, object]:
    heads = named_heads(model.heads, "cpp", fields="snake", labels="snake", taken=types)
    kinds = {head.kind for head in heads}
    return {
        "plan": plan,
        "model": model,
        "heads": heads,
        "kinds": kinds,
        "masks": "segmented" in kinds,
        "cases": plan.golden[model.name],
        "regions": model.regions,
        "least_db": LEAST_DB[model.last.precision],
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
