"""What an ONNX file says of itself that helps whoever writes its spec."""

from __future__ import annotations

import ast
import json

from onnx import ModelProto

from edgeskin.sources.source_model import Hints

_LABELS = ("names", "labels", "classes", "class_names")


def hints_of(model: ModelProto) -> Hints:
    """Labels from the metadata: a list, a JSON or Python dictionary, or lines. Notes from all."""
    entries = {entry.key: entry.value for entry in model.metadata_props}
    found = (labels_of(entries[key]) for key in _LABELS if key in entries)
    labels = next((each for each in found if each), None)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    notes = [f"made by {producer}"] if producer else []
    notes += [model.doc_string.strip()] if model.doc_string.strip() else []
    notes += [f"{key}: {value}" for key, value in entries.items() if len(value) <= 200]
    return Hints(labels=labels, notes=tuple(notes))


def labels_of(text: str) -> tuple[str, ...] | None:
    """The names in a text, of whatever form; None where there are none.

    >>> labels_of("{0: 'skin', 1: 'acne'}")
    ('skin', 'acne')
    >>> labels_of("skin, acne")
    ('skin', 'acne')
    """
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, dict):
            value = list(value.values())
        return tuple(map(str, value)) if isinstance(value, list | tuple) else None
    lines = [part.strip() for part in text.replace(",", "\n").splitlines()]
    return tuple(line for line in lines if line) or None
