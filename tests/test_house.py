"""The house itself: who may import whom, and what `--help` loads."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import edgeskin

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACES = {folder: name for name, folder in PROJECT["tool"]["setuptools"]["package-dir"].items()}
HEAVY = {"torch", "torchvision", "torchao", "timm", "lightning_fabric", "nncf", "coremltools"}
HEAVY |= {"litert_torch", "ai_edge_litert", "ai_edge_quantizer", "onnx", "onnxruntime"}
HEAVY |= {"onnxscript", "onnxsim", "tensorflow", "matplotlib", "scipy", "transformers"}
CORE = {"numpy", "pydantic", "PIL", "cv2", "safetensors", "cffi"}
COMMAND = CORE | {"typer", "rich"}

# Layer: (folders and files, our modules it may import at any depth, third parties at the top).
TORCH_LAYERS = (
    "edgeskin.tasks",
    "edgeskin.models",
    "edgeskin.data",
    "edgeskin.training",
    "edgeskin.sources",
)
MAY_IMPORT = {
    "edgeskin.cli": (
        *TORCH_LAYERS,
        "edgeskin.calibration",
        "edgeskin.converters",
        "edgeskin.benchmarks",
    ),
    "edgeskin.training": TORCH_LAYERS,
    "edgeskin.models": ("edgeskin.models", "edgeskin.data"),
    "edgeskin.data": ("edgeskin.data",),
    "edgeskin.tasks": ("edgeskin.tasks",),
    # A source that is quantized becomes a program.
    "edgeskin.sources": (
        "edgeskin.sources",
        "edgeskin.calibration",
        "edgeskin.models",
        "edgeskin.data",
    ),
    # Quantization-aware training is training.
    "edgeskin.calibration": ("edgeskin.calibration", *TORCH_LAYERS),
    "edgeskin.converters": (
        "edgeskin.converters",
        "edgeskin.calibration",
        "edgeskin.sources",
        "edgeskin.models",
        "edgeskin.data",
    ),
    "edgeskin.benchmarks.peers": (  # not part of the harness: measures against everything
        *TORCH_LAYERS,
        "edgeskin.calibration",
        "edgeskin.converters",
        "edgeskin.benchmarks",
    ),
    "edgeskin.benchmarks.systems": (  # as peers: measures what everything together gives
        *TORCH_LAYERS,
        "edgeskin.calibration",
        "edgeskin.converters",
        "edgeskin.benchmarks",
        "edgeskin.benchmarks.peers",
    ),
    "edgeskin.benchmarks.accelerators": (  # as systems
        *TORCH_LAYERS,
        "edgeskin.calibration",
        "edgeskin.converters",
        "edgeskin.benchmarks",
        "edgeskin.benchmarks.peers",
        "edgeskin.benchmarks.systems",
    ),
    "edgeskin.benchmarks": ("edgeskin.benchmarks",),
    "edgeskin.verbs": ("edgeskin.benchmarks", "edgeskin.data"),
    "edgeskin.walkthrough": (
        *TORCH_LAYERS,
        "edgeskin.calibration",
        "edgeskin.converters",
        "edgeskin.benchmarks",
    ),
    # A predictor opens runs too, inside the function that needs torch.
    "edgeskin.predictor": ("edgeskin.models",),
    # What a run holds, to copy it.
    "edgeskin.pipelines": ("edgeskin.models",),
    "edgeskin.runtimes": ("edgeskin.models",),
    # Golden vectors are drawn.
    "edgeskin.bundles": ("edgeskin.data",),
}
LAYERS = (
    *TORCH_LAYERS,
    "edgeskin.calibration",
    "edgeskin.converters",
    "edgeskin.benchmarks.peers",
    "edgeskin.benchmarks.systems",
    "edgeskin.benchmarks.accelerators",
    "edgeskin.benchmarks",
    "edgeskin.cli",
)


def modules() -> list[tuple[str, Path]]:
    found = []
    for folder, package in PLACES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join((package, *(p for p in parts if p != "__init__")))
            found.append((name, path))
    return found


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, at the top of the file?) of every import outside `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found += [(name, node in tree.body) for name in names]
    return found


def layer_of(module: str) -> str | None:
    return next((x for x in LAYERS if module == x or module.startswith(x + ".")), None)


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_modules_import_only_the_layers_below_them(name: str, path: Path) -> None:
    key = next((k for k in MAY_IMPORT if name == k or name.startswith(k + ".")), None)
    allowed = {*MAY_IMPORT.get(key or "", ()), layer_of(name)}
    if name == "edgeskin":
        allowed = set(LAYERS) - {
            "edgeskin.cli",
            "edgeskin.benchmarks.peers",
            "edgeskin.benchmarks.systems",
            "edgeskin.benchmarks.accelerators",
        }
    for imported, _ in imports(path):
        if (layer := layer_of(imported)) is not None:
            assert layer in allowed, f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_the_core_loads_no_heavy_library_at_its_top(name: str, path: Path) -> None:
    if layer_of(name) in (*TORCH_LAYERS, "edgeskin.calibration", "edgeskin.converters"):
        return
    if (layer_of(name) or "").startswith("edgeskin.benchmarks."):
        return  # they measure everything
    if name.startswith(("edgeskin.runtimes.", "edgeskin.formats.")):
        return  # opened by name, when an artifact asks for it
    allowed = COMMAND if name.startswith("edgeskin.cli") else CORE
    for imported, at_top in imports(path):
        package = imported.partition(".")[0]
        if at_top and package not in sys.stdlib_module_names and package != "edgeskin":
            assert package in allowed, f"{name} imports {package} at its top"


# Files that occur once in each folder of a kind, and mean the same in all of them.
THEMES = {"activation", "convolution", "elementwise", "gathering", "normalization", "operator"}
THEMES |= {"pooling", "reduction", "resize", "shape", "slicing"}
ROLES = {
    "edgeskin.formats": {"metadata", "reader", "cutter", "session", "standalone"},
    "edgeskin.runtimes.mil": {"session"},
    "edgeskin.runtimes.mil.ops": THEMES,
    "edgeskin.sources.onnx_graph.ops": THEMES,
    "edgeskin.converters.legalize": {"stem", "pixels"},
    "edgeskin.calibration": {"options"},
    "edgeskin.converters": {"options"},
}


def test_no_file_s_name_means_two_things() -> None:
    places: dict[str, list[str]] = {}
    for name, path in modules():
        if name.startswith("edgeskin.cli.") or path.stem in ("__init__", "__main__"):
            continue  # a command's file is called as the command
        if not any(name.startswith(f"{f}.") and path.stem in r for f, r in ROLES.items()):
            places.setdefault(path.stem, []).append(name)
    assert [names for names in places.values() if len(names) > 1] == []
    assert {stem for roles in ROLES.values() for stem in roles}.isdisjoint(places)


def test_no_modules_import_each_other() -> None:
    """Not in a circle either, nor inside functions."""
    known = dict(modules())
    uses = {
        name: {
            module
            for imported, _ in imports(path)
            if (module := imported if imported in known else imported.rpartition(".")[0]) in known
            and module != name
        }
        for name, path in known.items()
    }
    while leaves := {name for name, used in uses.items() if used.isdisjoint(uses)}:
        uses = {name: used for name, used in uses.items() if name not in leaves}
    assert uses == {}, "in a circle, or importing one that is"


# Those that read what others wrote, or write JSON; everything else returns a type of its own.
UNTYPED = {
    "edgeskin.document.to_json",
    "edgeskin.formats.coreml.ml_program.arithmetic",
    "edgeskin.formats.coreml.neural_network.scaling",
    "edgeskin.formats.coreml.reader._facts",
    "edgeskin.formats.coreml.reader._images",
    "edgeskin.formats.tflite.tflite_facts._image",
    "edgeskin.formats.tflite.tflite_facts._metadata",
    "edgeskin.pipelines.pipeline_predictor.to_json",
    "edgeskin.postprocess.to_json",
    "edgeskin.spec.json_schema",
}


def test_few_functions_return_a_dictionary_of_anything() -> None:
    found = {
        f"{name}.{node.name}"
        for name, path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.returns is not None
        and "dict[str, Any]" in ast.unparse(node.returns)
    }
    assert found == UNTYPED
    assert len(UNTYPED) <= 15


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"], ["--version"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys; from edgeskin.cli.main import run; "
        f"code = run({arguments!r}); "
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_public_names() -> None:
    assert sorted(edgeskin.__all__) == [
        "CalibrationOptions",
        "ConversionOptions",
        "Dataset",
        "DriftOptions",
        "EdgeskinError",
        "GroupOptions",
        "Predictor",
        "Spec",
        "SpecAnswers",
        "__version__",
        "advise",
        "bench",
        "bundle",
        "calibrate",
        "card",
        "compare",
        "convert",
        "demo",
        "devices",
        "drift",
        "export",
        "history",
        "history_add",
        "import_run",
        "inspect",
        "load",
        "load_run",
        "load_split",
        "make_pipeline",
        "measure_on",
        "open_data",
        "pack",
        "qat",
        "render_phantom",
        "report",
        "stage_data",
        "train",
        "try_on",
        "verify",
        "verify_bundle",
    ]
    for name in edgeskin.__all__:
        assert name in dir(edgeskin)
        value = getattr(edgeskin, name)
        assert name == "__version__" or value.__name__ == name  # called what the user calls it


def test_type_checkers_see_the_public_names() -> None:
    source = (ROOT / "edgeskin/__init__.py").read_text(encoding="utf-8")
    seen = {(n, m) for m, n in re.findall(r"from (edgeskin[.\w]+) import (\w+) as \2", source)}
    assert seen == set(edgeskin._HOMES.items())


def test_literals_are_the_tables() -> None:
    from typing import get_args

    from edgeskin.artifacts import Precision, Target
    from edgeskin.calibration.options import Method, SchemeName
    from edgeskin.calibration.schemes import METHODS, SCHEMES
    from edgeskin.converters import PRECISIONS
    from edgeskin.formats import FORMATS

    for literal, table in (
        (Target, FORMATS),
        (Precision, PRECISIONS),
        (SchemeName, SCHEMES),
        (Method, METHODS),
    ):
        assert set(get_args(literal)) == set(table)


def test_what_names_versions_and_tests_is_up_to_date() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {edgeskin.__version__}\n" in citation
    for path in (ROOT / "tests/core.txt").read_text(encoding="utf-8").split():
        assert (ROOT / path).exists(), f"tests/core.txt names {path}"


RESIZES = (
    r"\.resize\(|thumbnail\(|interpolate\(|v2\.Resize|warpAffine\(|ImageOps\.(fit|pad|contain)"
)


def test_the_native_core_is_the_only_resize() -> None:
    """Pixels of another filter than the model was trained on would lose accuracy silently."""
    others = {"edgeskin.data.phantom_canvas", "edgeskin.converters.selfcheck"}  # draw pictures
    others |= {"edgeskin.converters.parity.foreign"}  # draws some too
    others |= {"edgeskin.converters.parity.resizes"}  # shows what another resize would cost
    others |= {"edgeskin.benchmarks.systems.sets"}  # draws composites
    others |= {"edgeskin.models.deeplab"}  # enlarges features, not pictures
    others |= {"edgeskin.sources.onnx_graph.ops.resize"}  # the same, where a file says so
    for name, path in modules():
        if name in others or name.startswith("edgeskin.benchmarks.peers"):
            continue
        found = re.search(RESIZES, path.read_text(encoding="utf-8"))
        assert found is None, f"{name} resizes by {found.group() if found else ''}"
