"""Core ML's ML Programs, executed from the file as saved, on any system.

Every operator computes what MIL's documentation says, on PyTorch. That is not
what an Apple device computes: there, engines choose their own order of sums and
their own precision. It proves what a file says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeskin.runtimes.mil.plan import Arithmetic
    from edgeskin.runtimes.mil.session import MilSession


def open_session(
    path: Path, *, threads: int = 1, arithmetic: Arithmetic = "as_saved"
) -> MilSession:
    """Load an `.mlpackage` that holds an ML Program.

    Args:
        path: The package.
        threads: Of PyTorch, for the time of a run.
        arithmetic: "as_saved" rounds each result to the type that the program
            gives it; "full" computes every float in float32, to judge the graph
            by itself.

    Raises:
        InvalidArtifact: Damaged, no ML Program, or operators that are unknown.
        ModuleNotFoundError: coremltools, whose message definitions are read, or torch.
    """
    from edgeskin.runtimes.mil.session import MilSession

    return MilSession(Path(path), arithmetic, threads)
