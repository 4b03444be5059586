"""The fuzzer of the readers, briefly and always the same; `make fuzz-readers` runs it for long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="it forks, with limits that Linux keeps"),
]
HERE = Path(__file__).parent
CASES = 12


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process without torch: forks of this one would be large."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=HERE
    )


def test_damaged_files_are_documents_or_refused() -> None:
    done = python("fuzz_readers.py", "--cases", f"{CASES}", "--seed", "7")
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert done.returncode == 0
    assert len(found["fates"]) == 6
    for fates in found["fates"].values():
        assert sum(fates.values()) == CASES
        assert fates["refused"] >= 1  # it does reach the readers' checks


def test_another_exception_is_a_fault(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import fuzz_readers, model_files\n"
        "def fail(path): return {}['not an edgeskin error']\n"
        "fuzz_readers.answer = fail\n"
        "path = model_files.tflite(pathlib.Path(sys.argv[1]))\n"
        "print(fuzz_readers.examine(path))"
    )
    done = python("-c", code, str(tmp_path / "m.tflite"), str(HERE))
    assert "('fault', 'Traceback" in done.stdout, done.stderr
    assert "KeyError" in done.stdout
