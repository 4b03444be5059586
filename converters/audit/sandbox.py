"""An audit in a process of its own: `python -m edgeskin.converters.audit.sandbox FILE ANSWER`.

Runtimes are native code, and a damaged file may crash them or make them ask for
all the memory there is. Here that ends a process that holds nothing else.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from edgeskin.converters.audit.examine import audit
from edgeskin.errors import InvalidArtifact
from edgeskin.files import size_bytes
from edgeskin.formats.model_audit import Audit
from edgeskin.processes import read_answer, write_answer

COMMAND = (sys.executable, "-P", "-m", "edgeskin.converters.audit.sandbox")
SECONDS = 300.0
_MEMORY = 4 << 30
_MEMORY_BY_SIZE = 8  # copies of the file that a runtime may make


def audit_in_sandbox(path: Path, *, seconds: float = SECONDS, memory: int | None = None) -> Audit:
    """The audit of `path`, as `examine.audit` gives it.

    Args:
        seconds: That it may take.
        memory: Bytes that it may ask for, where the system can limit them
            (Linux); by default 4 GiB and eight times the file.

    Raises:
        InvalidArtifact: What the audit refuses, or what ended it: a crash, too
            much memory or too much time.
        MissingPackage: As the audit.
    """
    limit = memory or _MEMORY + _MEMORY_BY_SIZE * size_bytes(path)
    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        answer = Path(scratch) / "answer.json"
        command = [*COMMAND, str(path), str(answer), str(limit)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise InvalidArtifact(
                f"the audit of {path} took longer than {seconds:g} s and was ended: the file asks "
                "for far more work than its size explains, and is likely damaged"
            ) from error
        if done.returncode != 0:
            raise InvalidArtifact(f"{path} {_why_ended(done.returncode, done.stderr)}")
        return read_answer(answer, Audit)


def audit_within_memory(path: Path) -> Audit:
    """The audit in this process; more memory than there is becomes a refusal of the file."""
    try:
        return audit(path)
    except MemoryError as error:
        why = f"{path} asks for more memory than its size explains, and is likely damaged"
        raise InvalidArtifact(why) from error


def _why_ended(code: int, stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
    if code < 0:
        return (
            f"makes its runtime crash ({signal.Signals(-code).name}): it is damaged, or "
            f"asks for too much memory. The last words were: {lines[-1]}"
        )
    return f"cannot be examined: {lines[-1]}"


def main(path: str, out: str, memory: str) -> None:
    limit_memory(int(memory))
    write_answer(Path(out), lambda: audit_within_memory(Path(path)))


def limit_memory(size: int) -> None:
    """Bytes that this process may ask for; where the system knows no such limit, none."""
    with suppress(ImportError, OSError, ValueError, AttributeError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


if __name__ == "__main__":
    main(*sys.argv[1:])
