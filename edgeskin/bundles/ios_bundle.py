"""A Swift package for iOS and macOS: the core, its Swift face, the models, a typed API, tests."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from edgeskin.bundles.bundle_api import ModelApi, Region, Stage
from edgeskin.bundles.bundle_plan import Files, Plan
from edgeskin.bundles.golden_files import golden_files
from edgeskin.bundles.golden_vectors import GoldenCase
from edgeskin.bundles.named_heads import Label, NamedHead, named_heads
from edgeskin.bundles.templating import render
from edgeskin.bundles.words import KEYWORDS, identifiers, in_comment, joined, quoted
from edgeskin.errors import InvalidArtifact, InvalidSpec
from edgeskin.pipelines.joins import Crop
from edgeskin.pipelines.pipeline_spec import CropJoin
from edgeskin.postprocess import (
    ClassPrediction,
    DistributionPrediction,
    EmbeddingPrediction,
    HeadPrediction,
    LabelsPrediction,
    RegressionPrediction,
    SegmentationPrediction,
    TensorPrediction,
)
from edgeskin.spec import DistributionHead, EmbeddingHead, Head, RegressionHead, TensorHead
from edgeskin.version import __version__

_WIDTH = 120
"""Of a line, as in `.swift-format`."""
_SWIFT_TYPES = """Any Array Bool Bundle CaseIterable Character ClosedRange Data Dictionary Double
Error Float Int Never Optional Range Result Sendable Set String Task UInt8 URL Void"""
_TYPE = re.compile(r"^ *public (?:final class|struct|enum|protocol|typealias) (\w+)", re.MULTILINE)
_ANSWERS = {
    "classified": "Classified",
    "labelled": "Labelled",
    "graded": "Graded",
    "measured": "Measured",
    "regression": "Estimate",
    "segmented": "LabelMap",
    "covered": "Covered",
    "embedding": "Embedding",
    "tensor": "Values",
}
"""Types of the Swift face by kind of head; those with labels are generic."""
_SHOWN = {
    "Classified": "label.text",
    "Labelled": "labels",
    "Graded": "grade.text",
    "Measured": "value",
    "Estimate": "value",
    "LabelMap": "areas",
    "Covered": "areas",
    "Embedding": "values",
    "Values": "values",
}


@dataclass(frozen=True)
class _Head:
    """A head of a result, as a template sees it.

    Attributes:
        answer: Type of its property.
        reading: Lines that set the property from the outputs.
    """

    head: Head
    field: str
    type: str
    labels: tuple[Label, ...]
    unit: str
    maker: str
    answer: str
    reading: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its name for a person."""
        return self.head.name.replace("_", " ").capitalize()

    @property
    def shown(self) -> str:
        """What of it an example prints."""
        return f"{self.field}.{_SHOWN[self.maker]}"

    def case_of(self, text: str) -> str:
        """The case of a label, `.mild`."""
        return "." + next(label.name for label in self.labels if label.text == text)


@dataclass(frozen=True)
class _Stage:
    """A network as a template sees it.

    Attributes:
        field: Name of its properties and arguments.
        label: Its name in a comment.
    """

    stage: Stage
    field: str
    label: str


@dataclass(frozen=True)
class _Case:
    """A golden case as a template sees it.

    Attributes:
        title: The end of a test's name.
        size: Arguments: of the pixels as stored.
        runs: Arguments: names of the last stage's runs.
        core_ml: Which stage's session is held to which run.
        checks: Lines that hold the result to the prediction.
    """

    name: str
    title: str
    size: str
    answered: bool
    status: str
    kept_share: float | None
    crops: Sequence[Crop]
    runs: str
    core_ml: Sequence[tuple[str, str]]
    checks: Sequence[str]


def ios_files(plan: Plan) -> Files:
    """The package's files, but for what every bundle has.

    Raises:
        InvalidSpec: A model's class, result or answer is called as a type that its code needs.
    """
    kit = f"{joined(plan.name, 'pascal')}Kit"
    shared = {"plan": plan, "kit": kit}
    contexts = [{**_context(model, plan.golden[model.name]), **shared} for model in plan.models]
    out: Files = {
        "Package.swift": render("ios/Package.swift", **shared, models=plan.models),
        "README.md": render("ios/README.md", **shared, models=contexts, version=__version__),
        ".swift-format": render("ios/swift-format"),
        f"Sources/{kit}/PackageFiles.swift": render("ios/Sources/Kit/PackageFiles.swift", **shared),
        f"Tests/{kit}Tests/Golden.swift": render("ios/Tests/KitTests/Golden.swift"),
    }
    for model, context in zip(plan.models, contexts, strict=True):
        for template, path in (
            ("Sources/Kit/Model.swift", f"Sources/{kit}/{model.name}.swift"),
            ("Sources/Kit/Result.swift", f"Sources/{kit}/{model.result}.swift"),
            ("Tests/KitTests/ModelTests.swift", f"Tests/{kit}Tests/{model.name}Tests.swift"),
            ("Examples/ModelView.swift", f"Examples/{model.name}View.swift"),
        ):
            out[path] = render(f"ios/{template}", **context)
    for stage in plan.stages:
        out[f"Sources/{kit}/Resources/{stage.file}"] = stage.path
        out[f"Sources/{kit}/Resources/{stage.spec_file}"] = stage.spec.to_json().encode()
    return out | _core() | golden_files(plan, f"Tests/{kit}Tests/Golden")


def _native() -> Path:
    return Path(str(files("edgeskin.native")))


def _core() -> Files:
    """The C++ core and its Swift face."""
    native, place = _native(), "Sources/CEdgeskin"
    out: Files = {
        f"{place}/edgeskin.h": native / "edgeskin.h",
        f"{place}/include/module.modulemap": render(f"ios/{place}/include/module.modulemap"),
    }
    for source in sorted((native / "src").iterdir()):
        if source.suffix in (".h", ".cpp"):
            out[f"{place}/src/{source.name}"] = source
    for source in sorted((native / "swift/Edgeskin").glob("*.swift")):
        out[f"Sources/Edgeskin/{source.name}"] = source
    return out


@cache
def _taken() -> frozenset[str]:
    """Keywords and types that generated code uses, and that no type of it may be called."""
    sources = (_native() / "swift/Edgeskin").glob("*.swift")
    ours = {name for source in sources for name in _TYPE.findall(source.read_text("utf-8"))}
    return KEYWORDS["swift"] | ours | set(_SWIFT_TYPES.split())


def _context(model: ModelApi, cases: Sequence[GoldenCase]) -> Mapping[str, object]:
    """What the templates of a model are filled with."""
    answer = f"{model.base}Answer" if model.join else model.result
    for name in (model.name, model.result, answer):
        if name in _taken():
            raise InvalidSpec(
                f"{model.path} would be a class {model.name} with a type {name}, which Swift code "
                "needs for itself. Give it another --name."
            )
    heads = _heads(model)
    stages = _stages(model)
    makers = {head.maker for head in heads}
    pattern = "case .answered(let result, _)" if model.join else "let result"
    return {
        "model": model,
        "answer": answer,
        "heads": heads,
        "maps": "LabelMap" in makers,
        "masked": next((head for head in heads if head.maker == "LabelMap"), None),
        "crops": isinstance(model.join, CropJoin),
        "result_pattern": f"{pattern} = answer",
        "shows_percent": makers & {"Classified", "LabelMap", "Covered"},
        "shows_number": makers & {"Graded", "Measured", "Estimate"},
        "pluggable": _pluggable(stages),
        "first": stages[0],
        "last": stages[-1],
        "regions": {name: _region(r, model.stages[0]) for name, r in model.regions.items()},
        "about": _paragraphs(model),
        "cases": [_case(model, case, heads, stages) for case in cases],
    }


def _paragraphs(model: ModelApi) -> list[str]:
    """What the model is for and where it fails, as lines of a comment, "" between the two."""
    lines: list[str] = []
    for text in (model.intended_use, model.limits):
        line = ""
        for word in in_comment(text).split():
            if line and len(line) + len(word) > 95:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        lines += [line, ""] if line else []
    return lines[:-1] or [in_comment(model.title)]


def _stages(model: ModelApi) -> tuple[_Stage, ...]:
    names = [stage.name for stage in model.stages]
    fields = identifiers(names, "camel", "swift", otherwise="stage")
    return tuple(
        _Stage(stage, field, in_comment(stage.name))
        for stage, field in zip(model.stages, fields, strict=True)
    )


def _pluggable(stages: Sequence[_Stage]) -> str:
    """Arguments that load other files, for the README."""
    if len(stages) == 1:
        return "modelAt: url, sha256: hash"
    sessions = (f"{s.field}: CoreMLSession(contentsOf: {s.field}URL)" for s in stages)
    return f"{', '.join(sessions)}"


# ---- Heads


def _heads(model: ModelApi) -> tuple[_Head, ...]:
    named = named_heads(model.heads, "swift", fields="camel", labels="camel", taken=_taken())
    return tuple(_head(model, head) for head in named)


def _head(model: ModelApi, named: NamedHead) -> _Head:
    head = named.head
    maker = _ANSWERS[named.kind]
    arguments = ["outputs", quoted(head.name, "swift"), *_arguments(head, maker, model)]
    return _Head(
        head=head,
        field=named.field,
        type=named.type,
        labels=named.labels,
        unit=getattr(head, "unit", ""),
        maker=maker,
        answer=f"{maker}<{named.type}>" if named.labels else maker,
        reading=_call(f"{named.field} = try {maker}", arguments),
    )


def _arguments(head: Head, maker: str, model: ModelApi) -> Iterator[str]:
    match head:
        case DistributionHead():
            step = f"first: {head.first}, step: {head.step}, count: {head.size}"
            yield f"over: Support({step})"
            yield f"unit: {quoted(head.unit, 'swift')}"
            if head.ranges is not None:
                yield f"upper: [{', '.join(map(str, head.ranges.upper))}]"
        case RegressionHead():
            yield f"unit: {quoted(head.unit, 'swift')}"
        case EmbeddingHead():
            yield f"size: {head.size}"
        case TensorHead():
            yield f"shape: {list(head.shape)}"
            yield f"unit: {quoted(head.unit, 'swift')}"
    if maker in ("LabelMap", "Covered"):
        yield f"grid: {_grid(model.last, head)}"
    if maker == "LabelMap":
        yield "placement: placement"


def _call(start: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """A call in one line where it fits, else an argument a line, indented from its own."""
    line = f"{start}({', '.join(arguments)})"
    if len(line) + 4 <= _WIDTH:
        return (line,)
    return (f"{start}(", *(f"  {a}," for a in arguments[:-1]), f"  {arguments[-1]})")


def _grid(stage: Stage, head: Head) -> str:
    _, height, width, _ = next(t.shape for t in stage.outputs if t.name == head.name)
    return f"Grid(width: {width}, height: {height})"


def _region(region: Region, stage: Stage) -> str:
    """A region of the join as Swift."""
    head, places = region.head, ", ".join(map(str, region.values))
    size = f"grid: {_grid(stage, head)}, classes: {len(head.labels)}"
    return f'Region("{head.name}", {size}, labels: [{places}])'


# ---- Golden vectors


def _case(
    model: ModelApi, case: GoldenCase, heads: Sequence[_Head], stages: Sequence[_Stage]
) -> _Case:
    height, width, _ = case.pixels.shape
    runs = [str(i) for i in range(len(case.runs))]
    last = f"{stages[-1].field}Stage" if model.join else "stage"
    core_ml = [(f"{stages[0].field}Stage", "first")] if model.join else []
    return _Case(
        name=case.name,
        title=joined(case.name, "pascal"),
        size=f"width: {width}, height: {height}, orientation: {case.orientation}",
        answered=bool(case.runs),
        status=case.status,
        kept_share=case.seen.kept_share if case.seen else None,
        crops=(case.seen.crops or ()) if case.seen else (),
        runs=", ".join(f'"{run}"' for run in runs),
        core_ml=[*core_ml, *((last, run) for run in runs)],
        checks=list(_checks(model.result, heads, case)),
    )


def _checks(result: str, heads: Sequence[_Head], case: GoldenCase) -> Iterator[str]:
    for head in heads if case.runs else ():
        for found, expected in _expectations(result, head, case.prediction[head.head.name]):
            if isinstance(expected, str):
                yield from _call("XCTAssertEqual", [found, expected])
            elif not math.isfinite(expected):
                raise InvalidArtifact(
                    f"the model says {expected} of a golden image at '{head.head.name}': it is "
                    "damaged, or was never trained"
                )
            else:
                start = "try " if "XCTUnwrap(" in found else ""
                yield f"{start}assertClose({found}, {expected})"


def _expectations(
    result: str, head: _Head, said: HeadPrediction
) -> Iterator[tuple[str, str | float]]:
    """What is found, and what is expected: code that must be equal, or a number that is close."""
    place = f"result.{head.field}"
    output = f'try golden.output("{head.head.name}")'
    labels = f"{result}.{head.type}.allCases.compactMap {{ {place}.probabilities[$0] }}"
    match said:
        case ClassPrediction():
            yield f"{place}.label", head.case_of(said.label)
            yield f"{place}.label.text", quoted(said.label, "swift")
            yield f"Double({place}.probability)", said.probabilities[said.label]
            yield labels, output
        case LabelsPrediction():
            yield f"{place}.labels", f"[{', '.join(map(head.case_of, said.labels))}]"
            yield labels, output
        case DistributionPrediction():
            low, high = said.interval_80
            yield f"{place}.value", said.value
            yield f"{place}.unit", quoted(said.unit, "swift")
            yield f"{place}.interval.lowerBound", low
            yield f"{place}.interval.upperBound", high
            if said.grade is not None:
                yield f"{place}.grade", head.case_of(said.grade)
        case RegressionPrediction():
            yield f"{place}.value", said.value
            yield f"{place}.unit", quoted(said.unit, "swift")
        case SegmentationPrediction():
            if head.maker == "LabelMap":
                yield f"{place}.mask.width", "golden.width"
                yield f"{place}.mask.height", "golden.height"
            for text, area in said.area_fraction.items():
                yield f"XCTUnwrap({place}.areas[{head.case_of(text)}])", area
        case EmbeddingPrediction():
            yield f"{place}.norm", said.norm
            yield f"{place}.values", output
        case TensorPrediction():
            yield f"{place}.shape", str(list(said.shape))
            yield f"{place}.values", output
