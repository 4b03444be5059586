"""Which CPUs' sums overflow in ONNX Runtime, and what opens a session that does not."""

from __future__ import annotations

import pytest

from edgeskin.formats.onnx import saturation
from edgeskin.formats.onnx.saturation import OPTION, open_precise, saturates


@pytest.mark.parametrize(
    ("machine", "features", "expected"),
    [
        ("x86_64", ("avx2", "fma"), True),
        ("AMD64", ("avx2",), True),
        ("x86_64", ("avx2", "avx512f", "avx512_vnni"), False),
        ("x86_64", ("avx2", "avx_vnni"), False),
        ("aarch64", ("asimddp",), False),
    ],
)
def test_x86_without_vnni(machine: str, features: tuple[str, ...], expected: bool) -> None:
    assert saturates(machine, features) is expected


@pytest.mark.parametrize(
    ("here", "refuses", "entries", "precise"),
    [
        (True, False, {OPTION: "1"}, True),
        (True, True, {}, False),
        (False, False, {}, False),
    ],
)
def test_the_option_is_set_where_it_is_needed_and_where_the_file_loads_with_it(
    here: bool,
    refuses: bool,
    entries: dict[str, str],
    precise: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saturation, "saturates_here", lambda: here)

    def start(given: dict[str, str]) -> dict[str, str]:
        if given and refuses:
            raise RuntimeError("Attempt to replace the existing tensor")
        return given

    assert open_precise(start) == (entries, precise)
