"""Which environment variables importing edgeskin sets, and which it leaves to the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

NAMES = (
    "HF_HUB_OFFLINE",
    "ORT_DISABLE_TELEMETRY",
    "HF_HUB_DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
    "NO_ALBUMENTATIONS_UPDATE",
)


def variables(code: str, **before: str) -> dict[str, str | None]:
    """The switches in a fresh interpreter after `code`."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    code += f"; import json, os; print(json.dumps({{n: os.environ.get(n) for n in {NAMES!r}}}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | before,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_importing_turns_telemetry_off_and_leaves_the_hub_to_the_host() -> None:
    found = variables("import edgeskin")
    assert found.pop("HF_HUB_OFFLINE") is None
    assert set(found.values()) == {"1"}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_host_has_set_stays(name: str) -> None:
    assert variables("import edgeskin", **{name: "0"})[name] == "0"


def test_a_command_is_offline_altogether() -> None:
    found = variables("from edgeskin.cli.main import run; run(['--version'])")
    assert set(found.values()) == {"1"}
