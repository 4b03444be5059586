"""Every operator of the table is tested, and opening a package stays light."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeskin.runtimes.mil.ops import OPERATORS, THEMES

SOURCE = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_built_by_a_test(name: str) -> None:
    assert re.search(rf'\bmb\.{name}\(|"{name}"', SOURCE) or name in _built_by_name()


def _built_by_name() -> set[str]:
    """Tables of NumPy's names: mb.reduce_argmax and so on."""
    return {"reduce_argmax", "reduce_argmin"}


def test_no_operator_stands_in_two_themes() -> None:
    assert len(OPERATORS) == sum(len(theme.OPERATORS) for theme in THEMES)


def test_reading_a_program_loads_neither_coremltools_nor_tensorflow() -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from edgeskin.formats.coreml.package import messages; messages(); "
        "print(sorted({'coremltools', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
