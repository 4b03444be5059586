"""The arithmetic of a training is the machine's faster one, unless the recipe names it."""

from __future__ import annotations

import pytest
import torch

from edgeskin.training.memory import precision_here


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, "bf16-mixed"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bf16-mixed"),
        ({"avx2": True}, "32-true"),
        ({"architecture": "aarch64"}, "32-true"),
    ],
)
def test_bfloat16_only_where_the_cpu_multiplies_in_it(
    able: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert precision_here("auto") == expected
    assert precision_here("bf16-mixed") == "bf16-mixed"
    assert precision_here("32-true") == "32-true"
