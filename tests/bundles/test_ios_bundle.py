"""The Swift package: its golden tests on Linux, its Apple parts against stubs, used by version."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from faces import ROOT, needs, run
from pipeline_networks import MASK, areas_spec, colours_spec, make_areas, make_colours
from platforms import missing
from skin_network import RedIsSkin, skin_spec
from torch import Tensor, nn

from edgeskin.artifacts import Metadata
from edgeskin.bundles.bundle_api import ModelApi, read_models
from edgeskin.bundles.bundle_plan import Plan, write_files
from edgeskin.bundles.golden_vectors import golden_cases
from edgeskin.bundles.ios_bundle import ios_files
from edgeskin.converters.model import Job
from edgeskin.errors import InvalidSpec
from edgeskin.files import sha256
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline
from edgeskin.pipelines.pipeline_spec import Rules
from edgeskin.spec import ClassificationHead, SegmentationHead, Spec

SWIFT = ROOT / "scripts" / "with_swift.sh"
STUBS = ROOT / "tests" / "native" / "swift" / "stubs"
NAMES = {"tiny": "TinyModel", "many": "ManyHeads", "mask": "MaskModel", "crop": "CropModel"}
NAMES["two_heads"] = "TwoHeadsModel"
KIT = "TinyModelKit"
SHADOWS = ("All cases", "none", "text")
"""Labels called as what every enum of labels has, of a head called as a type of Swift."""
MORE = ("shadows", "covered", "mapped")
"""Models: SHADOWS, masks whose labels overlap, and a pipeline that ends in a mask."""

pytestmark = pytest.mark.slow
Read = Callable[[str], ModelApi]


class TwoMasks(RedIsSkin):
    """Its logits as a head of their own each."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return (super().forward(x),)


@pytest.fixture(scope="session")
def model_of(artifact_of, tmp_path_factory: pytest.TempPathFactory) -> Read:
    def read(kind: str) -> ModelApi:
        if kind in NAMES:
            path, name = artifact_of(kind, "coreml"), NAMES[kind]
        else:
            path, name = make_more(kind, tmp_path_factory.mktemp(kind)), f"{kind.capitalize()}Model"
        (model,) = read_models([path], "coreml", "ios", name)
        return model

    return read


def make_more(kind: str, folder: Path) -> Path:
    """One of MORE: what NAMES leaves out."""

    def convert(network: nn.Module, spec: Spec) -> Path:
        path = folder / f"{spec.name}.mlpackage"
        FORMATS["coreml"].convert(Job(network, Metadata(spec, "app", "fp32")), path)
        return path

    if kind == "shadows":
        head = ClassificationHead(name="double", labels=SHADOWS)
        return convert(make_colours(), colours_spec(name=kind, heads=(head,)))
    if kind == "covered":
        head = SegmentationHead(name="face", labels=("hair", "skin"), activation="sigmoid")
        return convert(TwoMasks().eval(), skin_spec(name=kind, heads=(head,)))
    first, last = (convert(make_areas(), areas_spec(name=name)) for name in ("first", "last"))
    rules = Rules.from_fields(MASK | {"name": kind}, where="here")
    stages = {"areas": first, "colours": last}
    return make_pipeline(rules, stages, folder / f"{kind}.pipeline").folder


@pytest.fixture(scope="session")
def plan(model_of: Read) -> Plan:
    """All models in one package, as an app with several has them."""
    return plan_of(*map(model_of, (*NAMES, *MORE)))


@pytest.fixture(scope="session")
def package(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(ios_files(plan), tmp_path_factory.mktemp("package") / KIT)


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Apple's modules, as far as they are used; CryptoKit's hash is a real one."""
    needs(SWIFT, "swift", "--version")
    folder = tmp_path_factory.mktemp("stubs")
    for name in ("CoreVideo", "CoreGraphics", "ImageIO", "CryptoKit", "CoreML", "SwiftUI"):
        out = ("-emit-module-path", folder / f"{name}.swiftmodule", "-o", folder / f"lib{name}.so")
        module = ("-emit-library", "-emit-module", "-module-name", name, *out)
        run(SWIFT, "swiftc", "-parse-as-library", "-I", folder, *module, STUBS / f"{name}.swift")
    return folder


def plan_of(*models: ModelApi, check_at_load: bool = False) -> Plan:
    golden = {model.name: golden_cases(model) for model in models}
    stem = models[0].snake
    return Plan("ios", models, stem, f"edgeskin.{stem}", "1.2.3", golden, check_at_load)


def sources(package: Path) -> list[Path]:
    return [package / "Package.swift", *sorted(package.glob("*/**/*.swift"))]


def test_golden_vectors_give_the_answers_of_predict(
    package: Path, plan: Plan, tmp_path: Path
) -> None:
    needs(SWIFT, "swift", "--version")
    said = run(SWIFT, "swift", "test", "--package-path", package, "--scratch-path", tmp_path)
    count = sum(map(len, plan.golden.values()))
    assert count == 4 * 3 + 4 * 2  # three cases of a pipeline, two of a model
    assert f"Executed {count} tests, with 0 failures" in said
    assert "warning:" not in said, said
    (resources,) = tmp_path.glob(f"debug/*_{KIT}.resources")
    for stage in plan.stages:  # what Bundle.module finds on a device
        assert sha256(resources / stage.file) == stage.sha256
        assert json.loads((resources / stage.spec_file).read_text())["name"] == stage.spec.name


def test_swift_format_changes_nothing(package: Path, tmp_path: Path) -> None:
    needs(SWIFT, "swift", "--version")
    copy = Path(shutil.copytree(package, tmp_path / "copy"))
    rules = ("--configuration", copy / ".swift-format")
    run(SWIFT, "swift", "format", "format", "--in-place", *rules, *sources(copy))
    for mine, formatted in zip(sources(package), sources(copy), strict=True):
        assert formatted.read_text() == mine.read_text(), mine.name


@pytest.mark.parametrize("check_at_load", [False, True])
def test_apple_parts_compile_as_swift_6(
    check_at_load: bool, model_of: Read, stubs: Path, package: Path, tmp_path: Path
) -> None:
    if check_at_load:
        plan = plan_of(model_of("tiny"), model_of("mask"), check_at_load=True)
        package = write_files(ios_files(plan), tmp_path / KIT)
        hashes = re.findall(r'sha256: "(\w{64})"', "".join(p.read_text() for p in sources(package)))
        assert sorted(hashes) == sorted(stage.sha256 for stage in plan.stages)
    bundle = tmp_path / "bundle.swift"  # SwiftPM's
    bundle.write_text(
        "import Foundation\nextension Bundle { static var module: Bundle { .main } }\n"
    )
    core = f"-fmodule-map-file={package}/Sources/CEdgeskin/include/module.modulemap"
    strict = ("-swift-version", "6", "-warnings-as-errors", "-Xcc", core)
    strict = (*strict, "-parse-as-library", "-enable-testing", "-I", stubs, "-I", tmp_path)
    modules = [
        ("Edgeskin", package.glob("Sources/Edgeskin/*.swift")),
        (KIT, [bundle, *package.glob(f"Sources/{KIT}/*.swift")]),
    ]
    if not check_at_load:  # which changes the class of the model alone
        tests = package.glob(f"Tests/{KIT}Tests/*.swift")
        modules.append((f"{KIT}Tests", [bundle, *tests]))
        modules.append(("Examples", package.glob("Examples/*.swift")))
    for module, files in modules:
        out = ("-emit-module", "-o", tmp_path / f"{module}.swiftmodule", "-module-name", module)
        run(SWIFT, "swiftc", *strict, *out, *sorted(files))


def test_the_hash_of_a_model_is_that_of_its_manifest(
    plan: Plan, stubs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "names"
    for name in ("a/b", "a-b", "a.b", ".hidden", "B", "\u00e4", "a/b.c/d"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name * 20)  # of one block and of several
    (tmp_path / "main.swift").write_text(
        "import Foundation\n"
        "for path in CommandLine.arguments.dropFirst() {\n"
        "  print(try sha256(of: URL(fileURLWithPath: path)))\n}\n"
    )
    face = ROOT / "edgeskin/native/swift/Edgeskin"
    code = [tmp_path / "main.swift", face / "ModelFile.swift", face / "ModelError.swift"]
    library = ("-I", stubs, "-L", stubs, "-lCryptoKit", "-Xlinker", f"-rpath={stubs}")
    run(SWIFT, "swiftc", *library, *code, "-o", tmp_path / "hash")
    paths = [plan.stages[0].path, folder, folder / "a-b"]
    assert run(SWIFT, tmp_path / "hash", *paths).split() == [sha256(path) for path in paths]


def test_an_app_takes_it_by_version(model_of: Read, tmp_path: Path) -> None:
    """From a git repository with a tag, which SwiftPM refuses of packages with unsafe flags."""
    if needs(SWIFT, "bash", "-c", "command -v git || echo none") == "none":
        missing("git is missing beside Swift: remove .tools/swift, it is fetched anew with it")
    release = write_files(ios_files(plan_of(model_of("tiny"))), tmp_path / KIT)
    git = ("git", "-C", release, "-c", "user.name=t", "-c", "user.email=t@example.com")
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "1.2.3"), ("tag", "1.2.3")):
        subprocess.run([*map(str, git), *command], check=True)
    app = tmp_path / "app"
    (app / "Sources" / "app").mkdir(parents=True)
    (app / "Package.swift").write_text(
        "// swift-tools-version:5.9\nimport PackageDescription\n"
        'let package = Package(name: "app", platforms: [.macOS(.v12)],\n'
        f'  dependencies: [.package(url: "file://{release}", from: "1.0.0")],\n'
        '  targets: [.executableTarget(name: "app", dependencies: [\n'
        f'    .product(name: "{KIT}", package: "{KIT}")])])\n'
    )
    (app / "Sources/app/main.swift").write_text(
        f"import {KIT}\nprint(TinyResult.Severity.allCases.map(\\.text).count)\n"
    )
    safe = ("env", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
    run(SWIFT, *safe, "swift", "build", "--package-path", app)
    assert run(SWIFT, app / ".build/debug/app") == "3\n"
    pins = json.loads((app / "Package.resolved").read_text())["pins"]
    assert [pin["state"]["version"] for pin in pins] == ["1.2.3"]


def test_two_networks_of_one_file_name_are_refused(artifact_of, tmp_path: Path) -> None:
    other = make_more("covered", tmp_path).rename(tmp_path / "tiny.mlpackage")
    with pytest.raises(InvalidSpec, match="two networks, and both would be tiny.mlpackage"):
        read_models([artifact_of("tiny", "coreml"), other], "coreml", "ios")


def test_a_class_called_as_a_type_of_the_face_is_refused(artifact_of) -> None:
    (model,) = read_models([artifact_of("tiny", "coreml")], "coreml", "ios", "Stage")
    with pytest.raises(InvalidSpec, match="class Stage .* another --name"):
        ios_files(plan_of(model))
