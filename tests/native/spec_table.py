"""The specs of specs.json, good and bad, as texts, as Python reads them, and as golden cases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from golden_cases import HEADING, Case, Runner, shown

from edgeskin.errors import InvalidSpec
from edgeskin.spec import InputSpec, Spec

TABLE = json.loads(Path(__file__).with_name("specs.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Row:
    """One text and its verdict by the rule above it in the table."""

    name: str
    good: bool
    text: bytes


def rows() -> list[Row]:
    """Each row of the table: the good spec with one part replaced."""
    names = {"$SPEC": TABLE["spec"].replace("$INPUT", TABLE["input"]), "$INPUT": TABLE["input"]}

    def whole(part: str) -> str:
        for name, text in names.items():
            part = part.replace(name, text)
        return part

    found = []
    for verdict, name, old, new in (case for rule in TABLE["rules"] for case in rule["cases"]):
        assert not old or names["$SPEC"].count(whole(old)) == 1, f"{name} replaces no one part"
        text = names["$SPEC"].replace(whole(old), whole(new)) if old else names["$SPEC"]
        # "\udcff" stands for the byte 0xff, which is not UTF-8.
        found.append(Row(name, verdict == "good", text.encode("utf-8", "surrogateescape")))
    return found


def python(text: bytes) -> InputSpec | None:
    """The input as Python reads it, of a whole spec or alone; None where it refuses the text."""
    try:
        return Spec.from_json(text).input
    except InvalidSpec:
        pass
    try:
        return InputSpec.from_json(text)
    except InvalidSpec:
        return None


def fields(spec: InputSpec) -> dict[str, str]:
    """The results of `recipe_from_spec` (golden/README.md), from Python's reading."""
    found = {"width": str(spec.width), "height": str(spec.height)}
    changed = {
        "fit": (spec.resize, "squash"),
        "resize_to": (str(spec.resize_to or 0), "0"),
        "filter": (spec.filter, "bilinear"),
        "pad_value": (str(spec.pad_value), "0"),
        "channels": (spec.color_order.lower(), "rgb"),
        "type": ("float32", "uint8"),
        "layout": ("nchw", "nhwc"),
        "mean": (shown(spec.mean), shown((0.0,) * 3)),
        "std": (shown(spec.std), shown((1.0,) * 3)),
    }
    found |= {name: value for name, (value, plain) in changed.items() if value != plain}
    return {f"recipe.{name}": value for name, value in found.items()}


def write_cases(folder: Path) -> int:
    """The table as a folder of golden cases: Python's values, C's messages; returns how many."""
    data, lines = bytearray(), [HEADING]
    for row in rows():
        place = f"text={len(data)}:{len(row.text)}"
        data += row.text
        spec = python(row.text)
        assert (spec is not None) == row.good, f"{row.name} is {'good' if row.good else 'bad'}"
        case = Case("recipe_from_spec", row.name, {"text": f"0:{len(row.text)}"}, {})
        results = fields(spec) if spec else Runner(row.text).run(case)
        said = " ".join(f"{name}={value}" for name, value in results.items())
        lines.append(f"recipe_from_spec {row.name} {place} => {said}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "data.bin").write_bytes(data)
    return len(lines) - 1
