"""Errors travel between processes whole, whatever their constructors ask for."""

from __future__ import annotations

import json

import pytest

from edgeskin import errors
from edgeskin.errors import EdgeskinError, from_document, to_document

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EdgeskinError)
]
EXTRA = {
    "InvalidInput": ("ES_BAD_SIZE",),
    "NotBetter": ({"epochs": [1.0]},),
    "PartlyConverted": ([], ["m.onnx: no such operator"]),
}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_it_was(kind: type[EdgeskinError]) -> None:
    sent = kind("what, why, what to do", *EXTRA.get(kind.__name__, ()))
    received = from_document(json.loads(json.dumps(to_document(sent))))
    assert type(received) is kind
    assert str(received) == "what, why, what to do"
    assert vars(received) == vars(sent)


@pytest.mark.parametrize("name", ["NoSuchError", "Any", "annotations", "to_document"])
def test_what_is_no_error_of_ours_becomes_the_base(name: str) -> None:
    received = from_document({"error": name, "message": "of a newer edgeskin"})
    assert type(received) is EdgeskinError
    assert str(received) == "of a newer edgeskin"
