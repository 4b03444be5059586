"""A model on many images in a process of its own, whatever machine that process believes it has.

    PREFIX python -m edgeskin.predict_batch ARTIFACT PIXELS.npy OUTPUTS.npz

`PREFIX` may be an emulator (`qemu-x86_64 -cpu Haswell`): what it needs is the
artifact's runtime, not torch. The child says on its standard output how many
images are done.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import NotSupportedHere
from edgeskin.predictor import load
from edgeskin.processes import end, follow_parent
from edgeskin.progress import Progress, silent

PYTHON = (sys.executable, "-P")
SILENCE_S = 600.0


def check_prefix(prefix: str) -> None:
    """Run an empty program under `prefix`, which takes a second where the images take minutes.

    Raises:
        NotSupportedHere: The command is empty, missing, or cannot run this Python.
    """
    command = [*_split(prefix), *PYTHON, "-S", "-c", ""]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SILENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotSupportedHere(f"'{prefix}' does not run here: {error}") from error
    if done.returncode != 0:
        raise _ended(prefix, done.returncode, done.stderr)


def run_under(
    prefix: str,
    artifact: Path,
    pixels: NDArray[np.uint8],
    progress: Progress = silent,
    silence_s: float = SILENCE_S,
) -> dict[str, NDArray[Any]]:
    """Decoded outputs of all images (N, H, W, 3), computed by `PREFIX python`.

    Args:
        silence_s: Seconds without another image after which the child is ended.

    Raises:
        NotSupportedHere: The command is missing, fails or falls silent.
    """
    with tempfile.TemporaryDirectory(prefix="edgeskin-") as scratch:
        names = "in.npy", "out.npz", "stderr"
        inputs, outputs_file, log = (Path(scratch) / name for name in names)
        np.save(inputs, pixels)
        module = [*PYTHON, "-m", "edgeskin.predict_batch"]
        command = [*_split(prefix), *module, str(artifact), str(inputs), str(outputs_file)]
        try:
            child = _start(command, log)
        except OSError as error:
            raise NotSupportedHere(f"'{prefix}' does not run here: {error}") from error
        try:
            if not _follow(child, f"running under {prefix}", len(pixels), progress, silence_s):
                raise NotSupportedHere(
                    f"'{prefix}' computed no image in {silence_s:g} s and was ended"
                )
            code = child.wait()
        finally:
            end(child)
        if code != 0 or not outputs_file.is_file():
            raise _ended(prefix, code, log.read_text(errors="replace"))
        with np.load(outputs_file) as outputs:
            return dict(outputs)


def _start(command: Sequence[str], stderr: Path) -> subprocess.Popen[bytes]:
    """Start the child with one thread: under an emulator, threads wait long for each other."""
    with stderr.open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )


def _follow(
    child: subprocess.Popen[bytes], what: str, total: int, progress: Progress, silence_s: float
) -> bool:
    """Pass on how many images are done, until the child is; False if it falls silent."""
    assert child.stdout is not None
    with child.stdout as pipe:
        while select.select([pipe], [], [], silence_s)[0]:
            lines = os.read(pipe.fileno(), 4096)
            if not lines:
                return True
            for done in filter(bytes.isdigit, lines.split()):
                progress(what, int(done), total)
    return False


def _split(prefix: str) -> list[str]:
    try:
        words = shlex.split(prefix)
    except ValueError as error:
        raise NotSupportedHere(f"'{prefix}' is no command: {error}") from error
    if not words:
        raise NotSupportedHere("an empty command shows no other processor")
    return words


def _ended(prefix: str, code: int, stderr: str) -> NotSupportedHere:
    last_line = (stderr.strip() or "no message").splitlines()[-1]
    return NotSupportedHere(f"'{prefix}' ended with exit code {code}: {last_line}")


def main(artifact: str, pixels: str, outputs: str) -> None:
    follow_parent()
    with load(artifact) as predictor:
        decoded = predictor.run_all(
            np.load(pixels), lambda what, done, total: print(done, flush=True)
        )
        np.savez(outputs, **decoded)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
