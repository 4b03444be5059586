"""`edgeskin schema`: the JSON schema of spec.json."""

from __future__ import annotations

from edgeskin.cli import console


def schema() -> None:
    """Print the JSON schema of spec.json."""
    from edgeskin.spec import json_schema

    console.emit(json_schema())
