"""No library that edgeskin brings along phones home.

ONNX Runtime (from 1.29 on, Linux too) writes a device id into the home folder
and uploads events unless `ORT_DISABLE_TELEMETRY` is set before it starts; model
hubs look for updates. Set when edgeskin is imported, so that no way in misses
it; NNCF's telemetry has no switch and is kept out where NNCF is imported
(`calibration/calibrate.py`). `tests/test_demo.py` watches network and home folder.
"""

from __future__ import annotations

import os

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def stay_offline() -> None:
    """Set the switches for this process and those it starts; one that the host set stays."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
