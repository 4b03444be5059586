"""Which library is fetched for which device."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeskin.benchmarks.runner.libraries import SOURCES, choose
from edgeskin.errors import NotSupportedHere

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


@pytest.mark.parametrize("wanted", SOURCES, ids="-".join)
def test_a_recent_device_gets_the_version_that_this_machine_s_python_has(
    wanted: tuple[str, str],
) -> None:
    source = choose(*wanted, "2.36")
    pinned = re.findall(rf"^{source.package}==(.+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    assert pinned == [source.version]


@pytest.mark.parametrize(
    ("glibc", "version"),
    [
        ("2.31", "2.1.0"),  # Ubuntu 20.04, JetPack 5
        ("2.33", "2.1.0"),
        ("2.34", "2.3.0"),
        ("2.100", "2.3.0"),  # compared as numbers
        (None, "2.3.0"),  # Android: Debian's is pushed along
    ],
)
def test_the_device_s_c_library_decides(glibc: str | None, version: str) -> None:
    assert choose("tflite", "aarch64", glibc).version == version


def test_a_device_that_is_too_old_for_all() -> None:
    refusal = "the device has glibc 2.27; ai-edge-litert 2.1.0 needs 2.30. .* with --library"
    with pytest.raises(NotSupportedHere, match=refusal):
        choose("tflite", "aarch64", "2.27")


def test_a_delegate_needs_the_tflite_c_api() -> None:
    assert choose("tflite", "aarch64", "2.36", for_delegate=True).version == "2.1.0"
    with pytest.raises(NotSupportedHere, match="ai-edge-litert for x86_64 takes no delegates"):
        choose("tflite", "x86_64", "2.36", for_delegate=True)


def test_a_machine_that_no_package_is_for() -> None:
    with pytest.raises(NotSupportedHere, match=r"tflite's library for armv7l \(there are x86_64, "):
        choose("tflite", "armv7l", "2.36")
