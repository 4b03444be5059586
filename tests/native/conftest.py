"""What tests of the native core share."""

from collections.abc import Iterator

import pytest

from edgeskin import native


@pytest.fixture(params=("scalar", "avx2", "neon"))
def each_code_path(request: pytest.FixtureRequest) -> Iterator[None]:
    """Once for each kind of kernels that this CPU has; the platform tests run NEON under qemu."""
    try:
        native.use_kernels(request.param)
    except native.InvalidInput:
        pytest.skip(f"no {request.param} here")
    yield
    native.use_kernels("best")
