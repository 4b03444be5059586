"""An Android module: the core by CMake, the models on LiteRT, a typed Kotlin API, a sample app."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from edgeskin.bundles.android_model import AndroidModel
from edgeskin.bundles.bundle_plan import Files, Plan
from edgeskin.bundles.golden_files import golden_files
from edgeskin.bundles.templating import render
from edgeskin.bundles.words import KEYWORDS
from edgeskin.errors import InvalidSpec

_PROJECT = (
    "README.md",
    "settings.gradle.kts",
    "build.gradle.kts",
    "gradle.properties",
    "gradle/libs.versions.toml",
    "gradle/wrapper/gradle-wrapper.properties",
    "library/build.gradle.kts",
    "library/consumer-rules.pro",
    "library/src/main/AndroidManifest.xml",
    "library/src/main/cpp/CMakeLists.txt",
    "library/src/main/cpp/edgeskin_jni.map",
    "library/src/main/kotlin/package/Answers.kt",
    "library/src/main/kotlin/package/ModelFile.kt",
    "library/src/main/kotlin/package/Network.kt",
    "library/src/main/kotlin/package/Reading.kt",
    "library/src/sharedTest/kotlin/package/Golden.kt",
)
"""Templates that are rendered once."""
_JOINING = "library/src/main/kotlin/package/Joining.kt"
"""Of bundles with a pipeline that cuts out squares."""
_SAMPLE = (
    "sample/build.gradle.kts",
    "sample/src/main/AndroidManifest.xml",
    "sample/src/main/res/values/strings.xml",
    "sample/src/main/res/values/themes.xml",
    "sample/src/main/kotlin/package/ResultCard.kt",
)
"""Of the app that shows the models, rendered once."""
_MASK_VIEW = "sample/src/main/kotlin/package/MaskView.kt"
"""Of models that say masks."""
_MODEL = {
    "library/src/main/kotlin/package/Model.kt": "{name}.kt",
    "library/src/main/kotlin/package/ModelResult.kt": "{result}.kt",
    "library/src/main/kotlin/package/ModelReader.kt": "{base}Reader.kt",
    "library/src/test/kotlin/package/ModelGoldenTest.kt": "{name}GoldenTest.kt",
    "library/src/androidTest/kotlin/package/ModelDeviceTest.kt": "{name}DeviceTest.kt",
    "sample/src/main/kotlin/package/ModelActivity.kt": "{name}Activity.kt",
    "sample/src/main/kotlin/package/ModelRows.kt": "{base}Rows.kt",
}
"""Templates that are rendered for each model, and the files' names."""
_FACES = {
    "edgeskin.h": "library/src/main/cpp",
    "src/*.h": "library/src/main/cpp/src",
    "src/*.cpp": "library/src/main/cpp/src",
    "kotlin/jni/*.cpp": "library/src/main/cpp/kotlin/jni",
    "kotlin/src/*.kt": "library/src/main/kotlin/edgeskin",
    "kotlin/android/*.kt": "library/src/main/kotlin/edgeskin",
}
"""Sources of `edgeskin.native`, and where they are copied to."""
_JAVA = """abstract assert boolean byte case catch char const default double enum extends final
finally float goto implements import instanceof int long native new private protected public short
static strictfp switch synchronized throws transient void volatile"""
_RESERVED = (KEYWORDS["kotlin"] - {"entries", "name", "ordinal", "values"}) | set(_JAVA.split())
"""What Kotlin and Java reserve, in a package's name too."""


def android_files(plan: Plan) -> Files:
    """The project's files, but for what every bundle has.

    Raises:
        InvalidSpec: A class or a package would have a name that Kotlin or Java uses itself.
    """
    _check_package(plan.package)
    models = [AndroidModel(model) for model in plan.models]
    _check_names(models)
    context = {
        "plan": plan,
        "models": models,
        "kinds": {head.kind for model in models for head in model.heads},
        "masks": any(model.join is not None and model.join.kind == "mask" for model in models),
        "crops": any(model.join is not None and model.join.kind == "crop" for model in models),
        "draws": any(model.grids for model in models),
    }
    out: Files = {}
    joining = [_JOINING] if context["crops"] else []
    mask_view = [_MASK_VIEW] if any(model.overlay for model in models) else []
    for template in (*_PROJECT, *joining, *_SAMPLE, *mask_view):
        _add(out, template, template, plan, context)
    for model in models:
        for template, name in _MODEL.items():
            api = model.api
            file = name.format(name=api.name, result=api.result, base=api.base)
            place = f"{template.rpartition('/')[0]}/{file}"
            cases = plan.golden[api.name]
            _add(out, template, place, plan, {**context, "model": model, "cases": cases})
    for stage in plan.stages:
        out[f"library/src/main/assets/{stage.file}"] = stage.path
        out[f"library/src/main/assets/{stage.spec_file}"] = stage.spec.to_json().encode()
    native = Path(str(files("edgeskin.native")))
    for pattern, folder in _FACES.items():
        out |= {f"{folder}/{source.name}": source for source in sorted(native.glob(pattern))}
    return out | golden_files(plan, "library/src/golden/golden")


def _add(out: Files, template: str, place: str, plan: Plan, context: dict[str, object]) -> None:
    text = render(f"android/{template}", **context)
    if place.endswith(".kt"):
        text = _used_imports(text.decode()).encode()
    package = f"kotlin/{plan.package.replace('.', '/')}"
    if template.startswith("sample/"):
        package += "/sample"
    out[place.replace("kotlin/package", package)] = text


def _used_imports(source: str) -> str:
    """Kotlin with the imports that it needs, in the order of its style guide.

    Templates list all that they may need.
    """
    imports = re.findall(r"^import (.*)$", source, flags=re.MULTILINE)
    if not imports:
        return source
    head, *_, body = re.split(r"^import .*\n", source, flags=re.MULTILINE)
    used = [name for name in imports if re.search(rf"\b{name.rpartition('.')[2]}\b", body)]
    used.sort(key=lambda name: (name.startswith(("java.", "javax.", "kotlin.")), name))
    block = "".join(f"import {name}\n" for name in used)
    return f"{head}{block}{body if used else body.lstrip()}"


def _check_package(package: str) -> None:
    for part in package.split("."):
        if part in _RESERVED:
            raise InvalidSpec(
                f"--package '{package}': '{part}' is a word of Java's or Kotlin's own. Take another"
            )


def _check_names(models: list[AndroidModel]) -> None:
    taken = dict.fromkeys(AndroidModel.TAKEN, "edgeskin's")
    for model in models:
        for name in model.classes:
            if name in taken:
                raise InvalidSpec(
                    f"the class {name} of {model.api.path} would have the name of {taken[name]} "
                    "own class: give the model another --name"
                )
            taken[name] = f"{model.api.name}'s"
