"""`edgeskin inspect`: what is in a model file, and what its runtime makes of it."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json, Split, Trust

_LARGEST = 5  # layers, by bytes or by values
_LONGEST = 48  # characters of a name
_WIDEST = 100


def inspect(
    artifact: Annotated[
        Path, typer.Argument(help=".tflite, .onnx, .mlpackage or .mlmodel, of any tool.")
    ],
    reference: Annotated[
        Path | None, typer.Option(help="The run it was made from: its values against float16.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Images to run the reference on.")] = None,
    split: Split = "test",
    min_int8_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Gate: exit 1 if fewer % of the multiply-adds are in INT8."
        ),
    ] = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Show operators, types, scales and sizes, and what is off the runtime's fast path."""
    from edgeskin.converters.audit.inspect import inspect as audit

    with console.progress() as tell:
        document = audit(
            artifact,
            reference=reference,
            data=data,
            split=split,
            trust=trust,
            progress=lambda i, n: tell("running the reference", i, n),
        )
    missed = [] if min_int8_share is None else _too_little_int8(document, min_int8_share)
    if json:
        console.emit(document | {"missed_gates": missed})
    else:
        print_audit(document)
    for line in missed:
        console.error(line)
    if missed:
        raise typer.Exit(1)


def _too_little_int8(document: dict[str, Any], gate: float) -> list[str]:
    """The line of the missed gate, with the weights that are not integers."""
    share = document["multiply_adds"]["int8_share"]
    if share is None:
        return [f"the file does not say how much it multiplies, the gate is {gate:g} % in INT8"]
    if 100 * share >= gate:
        return []
    line = f"{100 * share:.2f} % of the multiply-adds are in INT8, the gate is {gate:g} %"
    weights = [t for t in document["tensors"] if t["kind"] == "weight" and "float" in t["dtype"]]
    left = f"; {len(weights)} weights are float, first {weights[0]['name']}" if weights else ""
    return [line + left]


def print_audit(document: dict[str, Any]) -> None:
    """The document of `inspect` for a person."""
    made = document["metadata"]
    who = "not edgeskin's, or stripped"
    if "name" in made:
        who = f"{made['name']}, {made['precision']}, io {made['io']}"
    size = f"{document['size_bytes'] / 1e6:.2f} MB"
    total = document["multiply_adds"]["total"]
    rows = [
        (
            row["type"],
            f"{row['count']}",
            f"{row['integer'] or ''}",
            f"{row['float'] or ''}",
            f"{100 * row['multiply_adds'] / total:.1f} %" if row["multiply_adds"] else "",
            f"{row['bytes'] / 1e6:.2f}" if row["bytes"] else "",
        )
        for row in sorted(document["operators"], key=lambda row: -row["multiply_adds"])
    ]
    title = f"{document['file']}: {document['format']}, {size}, {who}"
    columns = ("operator", "count", "integer", "float", "multiply-adds", "MB")
    console.table(title, columns, rows)
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
    for line in findings(document):
        print(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False))


def findings(document: dict[str, Any]) -> Iterator[str]:
    """What stands below the table, a line a question."""
    path = document["fast_path"]
    for end in ("inputs", "outputs"):
        yield f"{end}: " + "; ".join(map(_end, document[end]))
    yield from map(_image, document["images"])
    yield from _said(document)
    yield _multiply_adds(document["multiply_adds"])
    yield "weights: " + (_weights(document["weights"]) or "none")
    yield "activations: " + ", ".join(
        f"{n} {dtype}" for dtype, n in document["activations"].items()
    )
    yield from _sizes(document["sizes"])
    yield from _scales(document["scales"])
    yield _float16(document["float16"])
    yield _batch_norms(document["batch_norms"])
    yield _transposes(document["transposes"])
    yield "float between integers: " + (_types(document["float_between_integers"]) or "none")
    yield f"off the fast path of {path['runtime']}: " + (_off(path) or "none")
    if path["partitions"] is not None:
        yield f"partitions: {path['partitions']}"
    if path["providers"]:
        yield "providers: " + ", ".join(f"{n} by {name}" for name, n in path["providers"].items())
    if document["beside"]:
        yield "not examined: " + "; ".join(document["beside"])


def _end(tensor: dict[str, Any]) -> str:
    shape = "x".join("?" if size == -1 else str(size) for size in tensor["shape"])
    text = f"{tensor['name']} {tensor['dtype']} {shape}"
    if "scale" in tensor:
        text += f" (scale {tensor['scale'][0]:.4g}, zero point {tensor['zero_point'][0]})"
    return text


def _image(image: dict[str, Any]) -> str:
    rest = {k: v for k, v in image.items() if k not in ("input", "said_by", "arithmetic")}
    steps = [f"{step['type']} {step['values']}" for step in image.get("arithmetic", ())]
    text = ", ".join([*(f"{key} {value}" for key, value in rest.items()), *steps])
    return f"pixels of {image['input']}, says {image['said_by']}: {text}"


def _said(document: dict[str, Any]) -> Iterator[str]:
    """What the file asks for, and its own entries but for edgeskin's, which are long."""
    asked = {k: v for k, v in document["deployment"].items() if k != "operator_versions"}
    needs = asked.pop("needs") or "its runtime in a version that the file does not say"
    asked |= asked.pop("opsets", {})
    yield f"needs: {needs} ({', '.join(f'{k} {v}' for k, v in asked.items()).replace('_', ' ')})"
    entries = document["file_metadata"].items()
    told = [f"{k} {v}" for k, v in entries if not k.startswith("edgeskin.") and len(v) < _WIDEST]
    if told:
        yield "metadata: " + "; ".join(told)


def _multiply_adds(adds: dict[str, Any]) -> str:
    text = f"multiply-adds: {adds['total'] / 1e6:.1f} M"
    if adds["int8_share"] is not None:
        text += f", {100 * adds['int8_share']:.1f} % in INT8"
    if adds["uncounted"]:
        text += f", and those of {adds['uncounted']} operators whose sizes the file does not say"
    return text


def _short(name: str) -> str:
    """The end of a name that is a whole path of modules, as in TFLite files."""
    return name.rpartition("/")[2][-_LONGEST:]


def _weights(found: dict[str, Any]) -> str:
    return ", ".join(
        f"{row['tensors']} {dtype} ({row['values'] / 1e6:.2f} M values)"
        for dtype, row in found.items()
    )


def _sizes(sizes: dict[str, Any]) -> Iterator[str]:
    largest = [f"{o['bytes'] / 1e6:.2f} {_short(o['name'])}" for o in sizes["layers"][:_LARGEST]]
    if largest:
        yield f"constants: {sizes['constants'] / 1e6:.2f} MB, most in " + ", ".join(largest)


def _scales(scales: dict[str, Any]) -> Iterator[str]:
    for what in ("weights", "activations"):
        if scales[what]["tensors"]:
            span = f"{scales[what]['smallest']:.3g} to {scales[what]['largest']:.3g}"
            yield f"scales of {what}: {span} ({scales[what]['tensors']} tensors)"
    odd: dict[str, list[str]] = {}
    for entry in scales["oddities"]:
        odd.setdefault(entry["why"], []).append(entry["tensor"])
    for why, names in odd.items():
        yield f"odd: {len(names)} tensors, the first is {_short(names[0])}: {why}"


def _float16(found: dict[str, Any]) -> str:
    if found["by"] is None:
        return "float16: not measured; --reference RUN --data DIR runs the float model"
    worst = [
        f"{o['largest']:.4g} in {_short(o['name'])} ({o['type']})"
        for o in found["layers"][:_LARGEST]
    ]
    by = "scales" if found["by"] == "scales" else f"{found['images']} images"
    text = f"float16 ends at {found['limit']:g}; largest values by {by}: {', '.join(worst)}"
    return text + (f". {found['beyond']} tensors are beyond it" if found["beyond"] else "")


def _batch_norms(found: list[dict[str, Any]]) -> str:
    foldable = sum(entry["foldable"] for entry in found)
    return f"batch norms left: {len(found)}" + (
        f", {foldable} of them right behind a product" if foldable else ""
    )


def _transposes(found: dict[str, Any]) -> str:
    reasons = Counter(entry["why"] for entry in found["avoidable"])
    text = "".join(f"; {n} avoidable: {why}" for why, n in reasons.items())
    return f"transposes left: {found['in_file']} in the file, {found['run']} run{text}"


def _types(found: list[dict[str, str]]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in Counter(f["type"] for f in found).items())


def _off(path: dict[str, Any]) -> str:
    found: dict[str, Counter[str]] = {}
    for entry in path["off"]:
        found.setdefault(entry["why"], Counter())[entry["type"]] += 1
    return "; ".join(
        f"{', '.join(f'{n} {kind}' for kind, n in kinds.items())} ({why})"
        for why, kinds in found.items()
    )
