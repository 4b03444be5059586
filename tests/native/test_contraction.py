"""No fused multiply-add where no flag forbids it: SwiftPM allows packages by version no flags."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from platforms import CORE, do, missing, zig

_, CLANG = zig("aarch64-linux-musl")
FUSED = re.compile(r"^\s*(fn?m(?:add|sub)|fml[as])\s.*\b[dsv]\d", re.MULTILINE)
"""Of aarch64's floating point; `madd` of whole numbers has x and w registers."""


def fused(source: Path, folder: Path) -> list[str]:
    """The fused instructions that clang makes of a source, at -O3, without -ffp-contract=off."""
    assembly = folder / f"{source.stem}.s"
    do(*CLANG, "-std=c++17", "-O3", "-S", source, "-o", assembly)
    return FUSED.findall(assembly.read_text("latin-1"))


@pytest.fixture(autouse=True)
def _zig() -> None:
    if find_spec("ziglang") is None:
        missing("zig is missing, so nothing is compiled for aarch64: pip install ziglang==0.13.0")


def test_clang_fuses_what_nothing_forbids(tmp_path: Path) -> None:
    source = tmp_path / "fused.cpp"
    source.write_text("double f(double a, double b, double c) { return a * b + c; }\n")
    assert fused(source, tmp_path) == ["fmadd"]


@pytest.mark.parametrize("source", sorted((CORE / "src").glob("*.cpp")), ids=lambda path: path.stem)
def test_the_core_fuses_nothing(source: Path, tmp_path: Path) -> None:
    assert fused(source, tmp_path) == []
