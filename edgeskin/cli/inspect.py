"""`edgeskin inspect`: what is in a model file, and what its runtime makes of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json


def inspect(
    artifact: Annotated[Path, typer.Argument(help=".tflite, .onnx or .mlpackage, of any tool.")],
    json: Json = False,
) -> None:
    """Show operators, types and scales, and what is off the runtime's fast path."""
    from edgeskin.converters.audit.inspect import inspect as audit

    document = audit(artifact)
    if json:
        console.emit(document)
    else:
        print_audit(document)


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
        )
        for row in sorted(document["operators"], key=lambda row: -row["multiply_adds"])
    ]
    title = f"{document['file']}: {document['format']}, {size}, {who}"
    console.table(title, ("operator", "count", "in integers", "in float", "multiply-adds"), rows)
    for line in findings(document):
        print(line)


def findings(document: dict[str, Any]) -> list[str]:
    """What stands below the table, a line a question."""
    adds, path = document["multiply_adds"], document["fast_path"]
    share = adds["int8_share"]
    lines = [
        *(f"{end}: " + "; ".join(map(_end, document[end])) for end in ("inputs", "outputs")),
        f"multiply-adds: {adds['total'] / 1e6:.1f} M"
        + ("" if share is None else f", {100 * share:.1f} % in INT8"),
        "weights: " + (_weights(document["weights"]) or "none"),
        "activations: " + ", ".join(f"{n} {dtype}" for dtype, n in document["activations"].items()),
        *_scales(document["scales"]),
        f"batch norms left: {len(document['batch_norms'])}",
        _transposes(document["transposes"]),
        "float between integers: " + (_types(document["float_between_integers"]) or "none"),
        f"off the fast path of {path['runtime']}: " + (_off(path) or "none"),
    ]
    if path["partitions"] is not None:
        lines.append(f"partitions: {path['partitions']}")
    return lines


def _end(tensor: dict[str, Any]) -> str:
    shape = "x".join("?" if size == -1 else str(size) for size in tensor["shape"])
    text = f"{tensor['name']} {tensor['dtype']} {shape}"
    if "scale" in tensor:
        text += f" (scale {tensor['scale'][0]:.4g}, zero point {tensor['zero_point'][0]})"
    return text


def _weights(found: dict[str, Any]) -> str:
    return ", ".join(
        f"{row['tensors']} {dtype} ({row['values'] / 1e6:.2f} M values)"
        for dtype, row in found.items()
    )


def _scales(scales: dict[str, Any]) -> list[str]:
    lines = []
    for what in ("weights", "activations"):
        if scales[what]["tensors"]:
            span = f"{scales[what]['smallest']:.3g} to {scales[what]['largest']:.3g}"
            lines.append(f"scales of {what}: {span} ({scales[what]['tensors']} tensors)")
    odd: dict[str, list[str]] = {}
    for entry in scales["oddities"]:
        odd.setdefault(entry["why"], []).append(entry["tensor"])
    return lines + [f"odd: {len(n)} tensors, the first is {n[0]}: {why}" for why, n in odd.items()]


def _transposes(found: dict[str, Any]) -> str:
    reasons = Counter(entry["why"] for entry in found["avoidable"])
    text = "".join(f"; {n} avoidable: {why}" for why, n in reasons.items())
    return f"transposes left: {found['in_file']} in the file, {found['run']} run{text}"


def _types(found: list[dict[str, str]]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in Counter(f["type"] for f in found).items())


def _off(path: dict[str, Any]) -> str:
    found = Counter((entry["type"], entry["why"]) for entry in path["off"])
    return "; ".join(f"{n} {kind} ({why})" for (kind, why), n in found.items())
