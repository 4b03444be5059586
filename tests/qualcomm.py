"""What tests need that run Qualcomm's compiler and simulator; in CI none of them is skipped."""

from __future__ import annotations

import os
import platform
from importlib import util

import pytest

_HERE = (platform.system(), platform.machine()) == ("Linux", "x86_64")
npu = pytest.mark.skipif(
    not (_HERE and util.find_spec("onnxruntime_qnn")) and "CI" not in os.environ,
    reason="NOT TESTED: Qualcomm's NPU: pip install 'edgeskin[qualcomm]' (Linux x86_64)",
)
