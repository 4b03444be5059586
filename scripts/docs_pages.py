"""Pages of the site that are made from the code: an mkdocs hook, run by `make docs`.

`reference/cli.md` comes from the Typer application, `reference/python.md` from
`edgeskin.__all__`, `reference/spec.md` from the pydantic models of `spec.json`.
None of them is committed, so none can lag behind.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import edgeskin
from edgeskin import errors, spec
from edgeskin.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
MAPPED = ("calibration", "converters", "benchmarks")


def on_startup(**_: Any) -> None:
    """The sources as one tree: mkdocstrings reads files, and knows no `package-dir`.

    Before its own configuration, which leaves out a path that is not there yet.
    """
    tree = ROOT / "build" / "docs" / "edgeskin"
    shutil.rmtree(tree.parent, ignore_errors=True)
    for folder, place in (("edgeskin", tree), *((name, tree / name) for name in MAPPED)):
        for path in (ROOT / folder).rglob("*.py"):
            copy = place / path.relative_to(ROOT / folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, text in (
        ("reference/cli.md", command_line()),
        ("reference/python.md", python()),
        ("reference/spec.md", spec_json()),
    ):
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Tables of figures hold every word: they come last in a search."""
    if page.file.src_uri.startswith("results/"):
        page.meta["search"] = {"boost": 0.1}
    return markdown


# ---- The command line


def command_line() -> str:
    group: Any = typer.main.get_command(app)
    text = [
        "# Command line",
        group.help,
        "`edgeskin --help` and `edgeskin COMMAND --help` print the same. `--debug`, before or "
        "after the command's name, shows the traceback of an error; `--version` prints the "
        "version. What the exit codes mean: [exit codes](exit-codes.md).",
    ]
    for name, command in leaves(group).items():
        arguments = [p for p in command.params if not p.opts[0].startswith("-")]
        options = [p for p in command.params if p.opts[0].startswith("-") and p.name != "help"]
        usage = " ".join(["edgeskin", name, *map(_placeholder, arguments)])
        required = "".join(f" {p.opts[0]} {p.name.upper()}" for p in options if p.required)
        text += [f"## {name}", command.help, f"```\n{usage}{required} [OPTIONS]\n```"]
        if arguments:
            text.append(_table("argument", arguments))
        if options:
            text.append(_table("option", options))
    return "\n\n".join(text) + "\n"


def leaves(group: Any) -> dict[str, Any]:
    """Commands by name; those of a group are called "history add"."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = leaves(command) if hasattr(command, "commands") else {"": command}
        found |= {f"{name} {rest}".strip(): each for rest, each in inner.items()}
    return found


def _placeholder(argument: Any) -> str:
    word = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def _table(kind: str, parameters: list[Any]) -> str:
    rows = [f"| {kind} | value | what it does |", "|---|---|---|"]
    for parameter in parameters:
        names = ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))
        if kind == "argument":
            names = f"`{parameter.name.upper()}`"
        rows.append(f"| {names} | {_value(parameter)} | {_escape(_help(parameter))} |")
    return "\n".join(rows)


def _value(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return ""
    annotation = parameter.type_descriptor.annotation
    types = [t for t in (get_args(annotation) or (annotation,)) if t is not type(None)]
    words = {"Path": "path", "str": "text", "int": "whole number", "float": "number"}
    word = words.get(getattr(types[0], "__name__", ""), "text")
    low, high = parameter.min, parameter.max
    if low is not None and high is not None:
        word += f", {low} to {high}"
    elif low is not None:
        word += f", at least {low}"
    return word


def _help(parameter: Any) -> str:
    text = parameter.help or ""
    if parameter.required:
        return f"{text} **Required.**"
    default = parameter.default
    if default in (None, False, ()) or callable(default):
        return text
    if default is True:
        return f"{text} Default: `{parameter.opts[0]}`."
    return f"{text} Default: `{default}`."


def _escape(text: str) -> str:
    """For a table's cell: bars and angle brackets as they are, words in capitals too."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


# ---- Python


def python() -> str:
    text = [
        "# Python",
        "These names are the public interface: `import edgeskin`, then `edgeskin.NAME`. A function "
        "does what the command of its name does, and loads what it needs at its first call. "
        "Whatever edgeskin refuses is an `edgeskin.EdgeskinError` "
        "([all of them](#errors)). Paths may be strings.",
    ]
    for name in edgeskin.__all__:
        value = getattr(edgeskin, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            text.append(f"## `edgeskin.{name}` {{ #{name.strip('_')} }}\n\nThe version, a string.")
            continue
        signature = _signature(name, value) if inspect.isfunction(value) else ""
        text.append(
            f"## `edgeskin.{name}` {{ #{name} }}\n\n{signature}"
            f"::: {value.__module__}.{value.__qualname__}\n"
            "    options:\n      heading_level: 3\n      show_root_heading: false\n"
            "      show_root_toc_entry: false"
        )
    text.append(
        "## Errors { #errors }\n\nEach is an `EdgeskinError`; the command line ends with 2."
    )
    rows = ["| class | what it means |", "|---|---|"]
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.EdgeskinError):
            rows.append(f"| `edgeskin.errors.{name}` | {inspect.cleandoc(kind.__doc__ or '')} |")
    text.append("\n".join(rows))
    return "\n\n".join(text) + "\n"


def _signature(name: str, function: Callable[..., Any]) -> str:
    """As one calls it, a line a parameter; mkdocstrings would give the name it has inside."""
    signature = inspect.signature(function)
    lines, by_name = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not by_name:
            lines.append("*")
            by_name = True
        value = "..." if inspect.isfunction(parameter.default) else repr(parameter.default)
        default = "" if parameter.default is parameter.empty else f" = {value}"
        lines.append(f"{parameter.name}: {parameter.annotation}{default}")
    inside = "".join(f"    {line},\n" for line in lines)
    call = f"edgeskin.{name}(\n{inside}) -> {signature.return_annotation}"
    return f"```python\n{call}\n```\n\n"


# ---- spec.json


def spec_json() -> str:
    text = [
        "# spec.json",
        "What a model eats and says. `spec.json` lies in every [run](files.md#run) and travels "
        "inside every [artifact](files.md#artifact). `edgeskin schema` prints the JSON schema; "
        "the C header `edgeskin.h` has the same rules in words. A field that this version does "
        "not know is refused. The smallest example is in "
        "[Bring your own network](../import.md).",
    ]
    for model in _models(spec.Spec):
        title = "spec.json itself" if model is spec.Spec else model.__name__
        text += [
            f"## {title} {{ #{model.__name__.lower()} }}",
            inspect.cleandoc(model.__doc__ or ""),
        ]
        rows = ["| field | what it is | if left out |", "|---|---|---|"]
        schema = model.model_json_schema()["properties"]
        for name, field in model.model_fields.items():
            rows.append(f"| `{name}` | {_field(schema[name], field)} | {_default(field)} |")
        text.append("\n".join(rows))
    return "\n\n".join(text) + "\n"


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model, then those that its fields hold, each once."""
    waiting, done = [model], []
    while waiting:
        current = waiting.pop(0)
        if current not in done:
            done.append(current)
            yield current
            for field in current.model_fields.values():
                waiting += _inner(field.annotation)


def _inner(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _inner(part)]


def _field(schema: dict[str, Any], field: FieldInfo) -> str:
    inner = _inner(field.annotation)
    if inner:
        links = " or ".join(f"[{m.__name__}](#{m.__name__.lower()})" for m in inner)
        word = f"a list of {links}" if schema.get("type") == "array" else links
    else:
        word = _shape(schema)
    if field.description:
        word = f"{field.description} *{word}*"
    return word.replace("|", "\\|")


def _shape(schema: dict[str, Any]) -> str:
    """A field's JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(_shape(part) for part in schema["anyOf"])
    if "const" in schema:
        return f"`{str(schema['const']).lower() if schema['const'] is True else schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return f"{len(schema['prefixItems'])} numbers"
    kind = schema.get("type", "")
    words = {"string": "text", "integer": "whole number", "number": "number", "null": "null"}
    words |= {"boolean": "true or false", "object": "an object"}
    word = words.get(kind, kind)
    if kind == "array":
        word = f"a list of {_plural(_shape(schema['items']))}"
    return word + "".join(f", {limit}" for limit in _limits(schema))


def _plural(word: str) -> str:
    return word if word.endswith("s") else f"{word}s"


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    for key, word in (
        ("minimum", "at least {}"),
        ("maximum", "at most {}"),
        ("exclusiveMinimum", "above {}"),
        ("minItems", "at least {} of them"),
        ("maxItems", "at most {}"),
        ("pattern", "matching `{}`"),
    ):
        if key in schema:
            yield word.format(schema[key])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return "null"
    if value is True:
        return "true"
    return f"`{value}`" if value not in ("", {}) else "empty"
