"""The Android module: all of its Kotlin compiled, its library built, its golden tests run."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bundle_files import HOSTILE, KINDS, TWICE
from faces import needs, run, tool
from pipeline_networks import MASK
from platforms import missing
from test_kotlin import SCRIPTS, jdk

from edgeskin.benchmarks.emulation.debian import unpack
from edgeskin.benchmarks.store import kept
from edgeskin.bundles.android_bundle import android_files
from edgeskin.bundles.bundle_api import read_models
from edgeskin.bundles.bundle_plan import Plan, write_files
from edgeskin.bundles.golden_vectors import golden_cases
from edgeskin.bundles.words import KEYWORDS
from edgeskin.errors import InvalidSpec, NotSupportedHere
from edgeskin.pipelines.pipeline_folder import make_pipeline, read_pipeline
from edgeskin.pipelines.pipeline_spec import Rules

pytestmark = pytest.mark.slow
STUBS = Path(__file__).parent / "android_stubs"
CHECKS = Path(__file__).parent / "android_checks"
NAMES = {"tiny": "GroesseModel", "many": "ManyGrader", "mask": "MaskModel", "crop": "CropModel"}
NAMES["two_heads"] = "TwoHeadsModel"
NAMES["masks"] = "MasksModel"  # a pipeline whose last network says a mask, too
MODULES = {"tiny": ("tiny", "mask"), "many": ("many", "crop", "two_heads", "masks")}
"""What is bundled together; `tiny` compares hashes, and has no crops."""
HOME = {kind: module for module, kinds in MODULES.items() for kind in kinds}
CASES = {"tiny": 2, "many": 2, "mask": 3, "crop": 3, "two_heads": 3, "masks": 3}


@pytest.fixture(scope="session")
def plans(artifact_of, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    """The bundles of MODULES, each in a package of its own."""
    found = {}
    files = {kind: artifact_of(kind, "tflite") for kind in (*KINDS, "two_heads")}
    files["masks"] = ending_in_masks(files["mask"], tmp_path_factory.mktemp("masks"))
    for module, kinds in MODULES.items():
        models = tuple(
            read_models([files[kind]], "tflite", "android", NAMES[kind])[0] for kind in kinds
        )
        golden = {model.name: golden_cases(model) for model in models}
        package = f"com.example.{module}"
        found[module] = Plan(
            "android", models, models[0].snake, package, "1.2.3", golden, module == "tiny"
        )
    return found


def ending_in_masks(pipeline: Path, folder: Path) -> Path:
    """The pipeline with its first network in the place of the last one, too."""
    first = read_pipeline(pipeline).folder / "areas.tflite"
    stages = {"areas": first, "colours": Path(shutil.copy(first, folder / "again.tflite"))}
    rules = Rules.from_fields(MASK | {"name": "masks"}, where="here")
    return make_pipeline(rules, stages, folder / "masks.pipeline").folder


@pytest.fixture(scope="session")
def projects(plans, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("android")
    return {name: write_files(android_files(plan), folder / name) for name, plan in plans.items()}


@pytest.fixture(scope="session")
def junit() -> str:
    """Class path of JUnit 4."""

    def make(folder: Path) -> None:
        unpack("bookworm", ["junit4", "libhamcrest-java"], folder, alone=True)

    try:
        jars = kept("junit4-1", make) / "usr/share/java"
    except NotSupportedHere as error:
        missing(str(error))
        raise
    return ":".join(str(jars / name) for name in ("junit4.jar", "hamcrest.jar"))


@pytest.fixture(scope="session")
def library(projects, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where libedgeskin.so is, built for this machine by a bundle's own CMakeLists.txt."""
    if shutil.which("cmake") is None:
        missing("no cmake here: pip install cmake")
    build = tmp_path_factory.mktemp("host")
    sources = projects["tiny"] / "library/src/main/cpp"
    strict = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror -O0"  # it is compiled, not measured
    home = f"-DJAVA_HOME={jdk().parent if (jdk() / 'jni.h').is_file() else jdk()}"
    run("cmake", "-S", sources, "-B", build, home, strict, "-DCMAKE_BUILD_TYPE=None")
    run("cmake", "--build", build)
    return build


@pytest.fixture(scope="session")
def classes(projects, junit: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Class path of everything: modules, samples and both kinds of tests, in one compilation.

    Android's classes are real (API 23, the module asks for 24), what Google's Maven repository
    holds are stubs.
    """
    stdlib = needs(SCRIPTS / "kotlinc.sh", "--stdlib")
    android = needs(SCRIPTS / "android_jar.sh")
    folder = tmp_path_factory.mktemp("kotlin")
    sources: list[str | Path] = [
        STUBS,
        CHECKS,
        projects["tiny"] / "library/src/main/kotlin/edgeskin",
    ]
    for module, project in projects.items():
        library = project / "library/src"
        sources += [library / part / "kotlin/com" for part in ("main", "test", "androidTest")]
        sources += [library / "sharedTest/kotlin", project / "sample/src/main/kotlin"]
        resources = folder / f"R{module}.kt"
        resources.write_text(resources_of(project, f"com.example.{module}.sample"), "utf-8")
        sources.append(resources)
    target = folder / "classes"
    path = ("-jvm-target", "11", "-classpath", f"{stdlib}:{android}:{junit}", "-d", target)
    run(SCRIPTS / "kotlinc.sh", *path, *sources)
    run("javac", "-d", target, STUBS / "org/tensorflow/lite/Interpreter.java")
    return f"{stdlib}:{junit}:{android}:{target}"


def resources_of(project: Path, package: str) -> str:
    """What Android's own compiler makes of the sample's strings."""
    strings = ElementTree.parse(project / "sample/src/main/res/values/strings.xml")
    names = [element.attrib["name"] for element in strings.iter("string")]
    values = "".join(f"        const val {name} = {i}\n" for i, name in enumerate(names))
    return f"package {package}\n\nobject R {{\n    object string {{\n{values}    }}\n}}\n"


def run_test(test: str, module: str, project: Path, classes: str, library: Path) -> tuple[int, str]:
    """Run a test in the module's folder, as Gradle does."""
    options = ["-Xcheck:jni", "-XX:+UseSerialGC", f"-Djava.library.path={library}"]
    path = f"{classes}:src/golden"
    junit = ("org.junit.runner.JUnitCore", f"com.example.{module}.{test}")
    done = subprocess.run(
        ["java", *options, "-classpath", path, *junit],
        cwd=project / "library",
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("kind", CASES)
def test_golden_vectors_hold(kind: str, projects, classes: str, library: Path) -> None:
    module = HOME[kind]
    code, said = run_test(f"{NAMES[kind]}GoldenTest", module, projects[module], classes, library)
    assert f"OK ({CASES[kind]} tests)" in said, said
    assert code == 0
    assert "WARNING" not in said  # of -Xcheck:jni


@pytest.mark.parametrize(
    ("file", "complaint"),
    [("upright.rgb", "the input of upright"), ("upright.0.colour.f32", "expected")],
)
def test_a_changed_vector_fails(
    file: str, complaint: str, projects, classes: str, library: Path, tmp_path: Path
) -> None:
    project = tmp_path / "changed"
    shutil.copytree(projects["tiny"], project)
    path = project / "library/src/golden/golden/mask_model" / file
    path.write_bytes(bytes(reversed(path.read_bytes())))
    code, said = run_test("MaskModelGoldenTest", "tiny", project, classes, library)
    assert code == 1
    assert complaint in said


def test_no_fallback_is_silent(projects, classes: str, library: Path) -> None:
    code, said = run_test("FallbackTest", "tiny", projects["tiny"], classes, library)
    assert "OK (10 tests)" in said, said
    assert code == 0


def test_the_spec_s_texts_survive(classes: str) -> None:
    done = tool("java", "-classpath", classes, "TextsKt")
    assert done.stdout.splitlines() == [*HOSTILE, *TWICE]


def test_the_library_shows_what_the_jvm_calls_alone(library: Path) -> None:
    listed = run("nm", "-D", "--defined-only", library / "libedgeskin.so").splitlines()
    assert listed
    assert all(line.split()[-1].startswith("Java_edgeskin_") for line in listed)


def test_build_files_agree_with_each_other(projects) -> None:
    for module, project in projects.items():
        catalog = tomllib.loads((project / "gradle/libs.versions.toml").read_text("utf-8"))
        for section in ("libraries", "plugins"):
            for entry in catalog[section].values():
                assert entry["version"]["ref"] in catalog["versions"]
        aliases = {name.replace("-", ".") for name in catalog["libraries"]}
        aliases |= {"plugins." + name.replace("-", ".") for name in catalog["plugins"]}
        aliases |= {"versions." + name for name in catalog["versions"]}
        scripts = "".join(path.read_text("utf-8") for path in project.rglob("*.gradle.kts"))
        used = set(re.findall(r"\blibs\.([\w.]+?)(?:\.get\(\)|\))", scripts))
        assert used <= aliases
        assert {name for name in aliases if not name.startswith("versions.")} <= used
        assert catalog["versions"]["minSdk"] == "24"
        assert f'namespace = "com.example.{module}"' in scripts
        manifest = ElementTree.parse(project / "sample/src/main/AndroidManifest.xml")
        android = "{http://schemas.android.com/apk/res/android}"
        activities = [activity.attrib for activity in manifest.iter("activity")]
        assert {each[f"{android}exported"] for each in activities} == {"true"}
        names = [f".{NAMES[kind]}Activity" for kind in MODULES[module]]
        assert [each[f"{android}name"] for each in activities] == names
        (permission,) = manifest.iter("uses-permission")
        assert permission.attrib[f"{android}name"] == "android.permission.CAMERA"
        for path in project.rglob("*.xml"):
            ElementTree.parse(path)


def test_64_bit_libraries_are_linked_for_pages_of_16_kb(projects) -> None:
    cmake = (projects["tiny"] / "library/src/main/cpp/CMakeLists.txt").read_text("utf-8")
    gradle = (projects["tiny"] / "library/build.gradle.kts").read_text("utf-8")
    assert "-Wl,-z,max-page-size=16384" in cmake
    assert "-DANDROID_SUPPORT_FLEXIBLE_PAGE_SIZES=ON" in gradle
    assert all(abi in gradle for abi in ("arm64-v8a", "armeabi-v7a", "x86_64", "x86"))


def test_models_and_specs_lie_in_the_assets(plans, projects) -> None:
    for module, plan in plans.items():
        assets = projects[module] / "library/src/main/assets"
        for stage in plan.stages:
            assert (assets / stage.file).read_bytes() == stage.path.read_bytes()
            assert (assets / stage.spec_file).read_text("utf-8") == stage.spec.to_json()
        assert len(list(assets.iterdir())) == 2 * len(plan.stages)


def test_the_hash_is_compared_where_that_is_asked_for(plans, projects) -> None:
    sources = {
        module: "".join(
            path.read_text("utf-8")
            for path in sorted((project / "library/src/main/kotlin").rglob("*.kt"))
        )
        for module, project in projects.items()
    }
    assert all(stage.sha256 in sources["tiny"] for stage in plans["tiny"].stages)
    assert "MessageDigest" in sources["tiny"]
    assert "sha256" not in sources["many"].lower().replace("-", "")


@pytest.mark.parametrize("kind", NAMES)
def test_the_code_is_tidy(kind: str, plans, projects, tmp_path: Path) -> None:
    """Of a model alone, too: it has fewer imports."""
    plan = plans[HOME[kind]]
    models = tuple(model for model in plan.models if model.name == NAMES[kind])
    alone = write_files(android_files(replace(plan, models=models)), tmp_path / "alone")
    for project in (projects[HOME[kind]], alone):
        for path in [*project.rglob("*.kt"), *project.rglob("*.kts"), project / "README.md"]:
            text = path.read_text("utf-8")
            assert text.endswith("\n")
            assert "\n\n\n" not in text, path
            assert "{\n\n" not in text, path
            assert "\n\n}" not in text, path
            assert all(line == line.rstrip() for line in text.splitlines()), path
            assert "\u202e" not in text, path
            for imported in re.findall(r"^import .*\.(\w+)$", text, flags=re.MULTILINE):
                assert len(re.findall(rf"\b{imported}\b", text)) > 1, f"{path}: {imported}"


@pytest.mark.parametrize("package", ["com.fun.app", "com.new.app"])
def test_a_package_that_no_app_can_have_is_refused(package: str, plans) -> None:
    assert package.split(".")[1] in {"new", *KEYWORDS["kotlin"]}
    with pytest.raises(InvalidSpec, match=f"--package '{package}': '.*' is a word of"):
        android_files(replace(plans["tiny"], package=package))


@pytest.mark.parametrize("name", ["Device", "Bitmap", "ModelException"])
def test_a_name_that_the_module_has_already_is_refused(name: str, plans, artifact_of) -> None:
    models = read_models([artifact_of("tiny", "tflite")], "tflite", "android", name)
    golden = {name: plans["tiny"].golden["GroesseModel"]}
    with pytest.raises(InvalidSpec, match=f"the class {name} of .* another --name"):
        android_files(replace(plans["tiny"], models=models, golden=golden))
