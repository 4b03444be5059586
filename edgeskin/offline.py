"""No library that edgeskin brings along phones home.

ONNX Runtime (from 1.29 on, Linux too) writes a device id into the home folder
and uploads events unless `ORT_DISABLE_TELEMETRY` is set before it starts. The
telemetry switches are set when edgeskin is imported, so that no way in misses
them; the command line, whose process is ours alone, also keeps model hubs from
looking for updates. A variable that is set already is left alone. NNCF's
telemetry has no switch and is kept out where NNCF is imported
(`calibration/calibrate.py`). `tests/test_demo.py` watches network and home folder.
"""

from __future__ import annotations

import os

TELEMETRY = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # else it asks the network for its newest version
}


def disable_telemetry() -> None:
    """Switch off telemetry of other packages, for this process and those it starts."""
    for name, value in TELEMETRY.items():
        os.environ.setdefault(name, value)


def stay_offline() -> None:
    """Keep model hubs from the network too; a host program may want them, a command does not."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
