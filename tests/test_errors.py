"""Errors cross from one process to another whole, and importing edgeskin is no imposition."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from edgeskin import errors
from edgeskin.errors import EdgeskinError, InvalidInput, NotBetter, from_answer, to_answer

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EdgeskinError)
]
FACTS = {InvalidInput: {"status": "bad_size"}, NotBetter: {"record": {"loss": 0.5}}}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_a_process_whole(kind: type[EdgeskinError]) -> None:
    error = kind("what, why, what to do", **FACTS.get(kind, {}))
    found = from_answer(json.loads(json.dumps(to_answer(error))))
    assert type(found) is kind
    assert str(found) == "what, why, what to do"
    assert vars(found) == FACTS.get(kind, {})


def test_what_the_host_program_decided_stays() -> None:
    code = "import os, edgeskin; print(os.environ['HF_HUB_OFFLINE'], os.environ['DO_NOT_TRACK'])"
    given = {**os.environ, "HF_HUB_OFFLINE": "0"}
    given.pop("DO_NOT_TRACK", None)
    said = subprocess.run(
        [sys.executable, "-P", "-c", code], env=given, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["0", "1"]
