"""The templates of `templates/`, one for each generated file, and the words that they share."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgeskin.bundles.words import identifier, identifiers, in_comment, joined, quoted
from edgeskin.errors import MissingPackage

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **context: Any) -> bytes:
    """A template filled in, UTF-8; one blank line at most, a line break at the end.

    Args:
        template: Its path in `templates/`, without `.jinja`.

    Raises:
        MissingPackage: jinja2 is not installed.
    """
    text = _environment().get_template(f"{template}.jinja").render(**context)
    lines: list[str] = []
    for line in map(str.rstrip, text.splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    return ("\n".join(lines).strip("\n") + "\n").encode()


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise MissingPackage("a bundle needs jinja2: pip install 'edgeskin[bundle]'") from error

    environment = Environment(
        loader=FunctionLoader(_text),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # none of the files is HTML; each text goes through `quoted`
    )
    environment.filters |= {
        "identifier": identifier,
        "identifiers": identifiers,
        "joined": joined,
        "quoted": quoted,
        "in_comment": in_comment,
        "json": lambda value: json.dumps(value, ensure_ascii=False),
    }
    environment.globals |= {"zip": zip, "enumerate": enumerate, "len": len}
    return environment


def _text(name: str) -> str:
    place = files("edgeskin.bundles") / "templates"
    for part in name.split("/"):
        place = place / part
    return place.read_text("utf-8")
