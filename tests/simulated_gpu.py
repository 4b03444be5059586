"""The software GPU of `simulated:gpu`, which tests need: fetched, or their skip said aloud."""

import os

import pytest

from edgeskin.benchmarks.emulation.swiftshader import swiftshader
from edgeskin.errors import NotSupportedHere


def need_simulated_gpu() -> None:
    """Skip on machines that it is not made for; in CI that is a failure."""
    try:
        swiftshader()
    except NotSupportedHere as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"NOT TESTED: the simulated GPU: {error}")
