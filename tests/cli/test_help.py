"""`--help` prints what the options say of themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import typer

from edgeskin.cli.app import app
from edgeskin.cli.main import run


@cache
def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    found = dict(group.commands)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {n}": each for n, each in inner.items()}
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_no_word_of_a_help_text_is_taken_for_markup(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")  # wide enough that no text is wrapped
    assert run([*name.split(), "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    command = commands()[name]
    texts = [*command.help.split("\n\n"), *(p.help for p in command.params if p.help)]
    assert texts[0]
    for text in texts:
        assert " ".join(text.split()) in printed
