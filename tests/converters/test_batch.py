"""A model in a process under another command: its answers, its progress, and its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from processes import gone, wait_for

from edgeskin.benchmarks.emulation.qemu import qemu
from edgeskin.errors import NotSupportedHere
from edgeskin.predict_batch import check_prefix, run_under
from edgeskin.predictor import load

PIXELS = np.random.default_rng(3).integers(0, 256, (3, 40, 48, 3), np.uint8)
HANG = "sh -c 'sleep 600 & echo $! > {}; wait'"  # deaf, with a child of its own


@pytest.mark.parametrize("target", ["onnx", "tflite"])
@pytest.mark.parametrize("prefix", ["env NOTHING=1", "nice -n 1"])
def test_the_same_machine_gives_the_same_answers(
    prefix: str, target: str, converted: Callable[..., Path]
) -> None:
    artifact, seen = converted(target, "fp32"), []
    check_prefix(prefix)
    found = run_under(prefix, artifact, PIXELS, lambda what, *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with load(artifact) as predictor:
        expected = predictor.run_all(PIXELS)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.fixture
def haswell() -> str:
    try:
        return f"{qemu('x86_64')} -cpu Haswell"
    except NotSupportedHere as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO OTHER PROCESSOR IS TESTED: {error}")


def test_an_emulated_processor_computes_float_to_rounding(
    haswell: str, converted: Callable[..., Path]
) -> None:
    artifact = converted("onnx", "fp32")
    found = run_under(haswell, artifact, PIXELS)
    with load(artifact) as predictor:
        for name, values in predictor.run_all(PIXELS).items():
            # Sums of at most 144 products in another order: 144 roundings of 2**-24, no more.
            np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5 * np.ptp(values))


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("", "an empty command shows no other processor"),
        ("nice 'n", "'nice 'n' is no command: No closing quotation"),
        ("no-such-emulator -cpu x", "'no-such-emulator -cpu x' does not run here: .*No such file"),
        ("false", "'false' ended with exit code 1: no message"),
        ("sh -c 'echo first >&2; echo no such CPU >&2; exit 7'", "exit code 7: no such CPU$"),
    ],
)
def test_a_command_that_cannot_run_python_is_refused_at_once(prefix: str, why: str) -> None:
    with pytest.raises(NotSupportedHere, match=why):
        check_prefix(prefix)


def test_what_ends_without_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedHere, match=r"'sh -c .* ended with exit code -9: no message"):
        run_under("sh -c 'kill -9 $$'", tmp_path / "any.onnx", PIXELS)
    with pytest.raises(NotSupportedHere, match=r"exit code 1: .*any\.onnx is missing"):
        run_under("env", tmp_path / "any.onnx", PIXELS)


def test_silence_ends_it_with_its_children(tmp_path: Path) -> None:
    prefix = HANG.format(tmp_path / "pid")
    with pytest.raises(NotSupportedHere, match=r"computed no image in 0\.5 s and was ended"):
        run_under(prefix, tmp_path / "any.onnx", PIXELS, silence_s=0.5)
    assert gone(int(wait_for(tmp_path / "pid")))


def test_ctrl_c_ends_it_with_its_children(tmp_path: Path) -> None:
    """Pressed on the command alone, as a service or a test runner does."""
    code = (
        "import numpy as np; from pathlib import Path; from edgeskin.predict_batch import *\n"
        f"run_under({HANG.format(tmp_path / 'pid')!r}, Path('a'), np.zeros((1, 4, 4, 3), np.uint8))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    child = int(wait_for(tmp_path / "pid"))
    parent.send_signal(signal.SIGINT)
    _, stderr = parent.communicate(timeout=30)
    assert re.search(r"^KeyboardInterrupt$", stderr, re.MULTILINE)
    assert gone(child)
