"""The site builds without a warning, needs nothing from elsewhere, and says what the code says."""

from __future__ import annotations

import ast
import html
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from example_shell import unavailable
from PIL import Image

import edgeskin
from edgeskin import errors

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NEEDED = ("mkdocs", "material", "mkdocstrings")
# What may stand in a page without being one of its own files: links that a reader may click.
LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]+src=["']([^"']+)""")
STYLES = re.compile(
    r"""<link[^>]+rel=["']?(?:stylesheet|preconnect|preload)[^>]*href=["']([^"']+)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        unavailable(f"the site was not built: no {missing[0]}: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--quiet",
        "--strict",
        "--site-dir",
        str(out),
    ]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def page(site: Path, name: str) -> str:
    return html.unescape((site / name).read_text(encoding="utf-8"))


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for address in (*LOADED.findall(text), *STYLES.findall(text)):
            assert not re.match(r"(https?:)?//", address), f"{path.name} loads {address}"


def test_the_command_line_is_there_whole(site: Path) -> None:
    text = page(site, "reference/cli.html")
    for name, command in commands().items():
        assert f'id="{name.replace(" ", "-")}"' in text
        for parameter in command.params:
            for option in parameter.opts:
                assert option in text or not option.startswith("--"), f"{name} {option}"


def test_every_public_name_is_there(site: Path) -> None:
    text = page(site, "reference/python.html")
    for name in edgeskin.__all__:
        assert f"edgeskin.{name}" in text


def test_every_field_of_the_spec_is_explained(site: Path) -> None:
    from edgeskin import spec

    text = page(site, "reference/spec.html")
    models = (spec.Spec, spec.InputSpec, spec.RangeTable, spec.ClassificationHead)
    models += (spec.DistributionHead, spec.RegressionHead, spec.SegmentationHead)
    for model in models:
        for name, field in model.model_fields.items():
            assert name == "kind" or field.description, f"{model.__name__}.{name}"
            assert f"<code>{name}</code>" in text


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    for path in DOCS.rglob("*.md"):
        assert path.relative_to(DOCS).as_posix() in nav


@pytest.mark.parametrize("name", ["README.md", "examples/README.md"])
def test_what_a_readme_links_to_is_there(name: str) -> None:
    path = ROOT / name
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (path.parent / link).exists(), link


# ---- What the pages say is so


@cache
def commands() -> dict[str, Any]:
    import typer

    from edgeskin.cli.app import app

    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {n}": c for n, c in inner.items()} if inner else {name: command}
    return found


def written() -> list[tuple[str, str]]:
    """(page, command) of each `edgeskin ...` line in a block, and in a table's or line's code."""
    found = []
    for path in (ROOT / "README.md", *DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = [line.strip() for block in blocks for line in block.splitlines()]
        lines += re.findall(
            r"`(edgeskin [a-z]+ [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        )
        name = path.relative_to(ROOT).as_posix()
        found += [(name, line) for line in lines if line.startswith("edgeskin ")]
    return found


def test_the_options_in_the_pages_exist() -> None:
    assert len(written()) > 60
    for name, line in written():
        words = shlex.split(line, comments=True)
        if words[1].startswith("-") or words[1] == "COMMAND":
            continue
        command = words[1] if words[1] in commands() else " ".join(words[1:3])
        assert command in commands(), f"{name}: {line}"
        known = {o for p in commands()[command].params for o in (*p.opts, *p.secondary_opts)}
        for word in words[2:]:
            option = word.partition("=")[0]
            assert not option.startswith("--") or option in known | {"--help"}, f"{name}: {line}"


def test_the_tutorials_script_writes_a_manifest(tmp_path: Path) -> None:
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for label in ("mild", "severe"):
        for person in range(40):
            for name in (f"p{person}/1.jpg", f"p{person}/2.jpg", f"IMG_{person}.jpg"):
                path = tmp_path / "photos" / label / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8)).save(path)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    splits: dict[str, str] = {}
    for split in ("train", "val", "test"):
        for row in edgeskin.load_split(tmp_path / "photos", split).rows:
            label, person = row["file"].split("/")[:2]
            assert row["severity"] == label
            assert splits.setdefault(person, split) == split
    assert len(splits) == 80


def test_every_variable_of_ours_is_on_its_page() -> None:
    text = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    inner = {"EDGESKIN_H", "EDGESKIN_SOCKET_LOG"}  # an include guard; between a test and its child
    found = set()
    for folder in ("edgeskin", "calibration", "converters", "benchmarks", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".sh", ".h", ".cpp", ".c"}:
                code = path.read_text(encoding="utf-8", errors="replace")
                found |= set(re.findall(r"\bEDGESKIN_[A-Z_]*[A-Z]\b", code))
    assert found - inner >= {"EDGESKIN_CACHE", "EDGESKIN_TOOLS"}
    for name in found - inner:
        assert f"`{name}`" in text, name


@cache
def strings() -> str:
    """Every piece of text in the code, a line each: `f"{path} is missing"` gives ` is missing`."""
    pieces = []
    for folder in ("edgeskin", "calibration", "converters", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    pieces.append(node.value.replace("\n", " "))
    headers = (ROOT / "edgeskin/native/src").glob("*.cpp")
    return "\n".join((*pieces, *(path.read_text(encoding="utf-8") for path in headers)))


def messages() -> list[str]:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^### `(.*)`$", text, re.MULTILINE)


@pytest.mark.parametrize("message", messages())
def test_a_message_of_the_troubleshooting_page_is_one_of_the_code(message: str) -> None:
    for piece in message.split("…"):
        assert piece.strip(" .") in strings(), piece


def test_every_error_class_is_on_the_python_page(site: Path) -> None:
    text = page(site, "reference/python.html")
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.EdgeskinError):
            assert name in text, name
