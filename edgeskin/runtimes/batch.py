"""A model on many images in a process of its own, whatever machine that process believes it has.

    PREFIX python -m edgeskin.runtimes.batch ARTIFACT PIXELS.npy OUTPUTS.npz

`PREFIX` may be an emulator (`qemu-x86_64 -cpu Haswell`): what it needs is the
artifact's runtime, not torch.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import NotSupportedHere
from edgeskin.predictor import load


def run_under(
    prefix: str, artifact: Path, pixels: NDArray[np.uint8], timeout_s: float = 3600.0
) -> dict[str, NDArray[Any]]:
    """Decoded outputs of all images (N, H, W, 3), computed by `PREFIX python`.

    Raises:
        NotSupportedHere: The command is missing, fails or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        given, made = Path(scratch) / "pixels.npy", Path(scratch) / "outputs.npz"
        np.save(given, pixels)
        module = [sys.executable, "-m", "edgeskin.runtimes.batch"]
        command = [*shlex.split(prefix), *module, str(artifact), str(given), str(made)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotSupportedHere(f"'{prefix}' does not run here: {error}") from error
        if done.returncode != 0 or not made.is_file():
            said = (done.stderr.strip() or "no message").splitlines()[-1]
            raise NotSupportedHere(f"'{prefix}' ended with exit code {done.returncode}: {said}")
        with np.load(made) as outputs:
            return dict(outputs)


def main(artifact: str, pixels: str, outputs: str) -> None:
    with load(artifact) as predictor:
        np.savez(outputs, **predictor.run_all(np.load(pixels)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
