"""`python -m edgeskin.snapdragon.onnx_context MODEL CHIP OUT`: a context, by ONNX Runtime.

A process of its own, for the provider's library can end the one that loads it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgeskin.snapdragon import qnn

NO_DEVICE = "ONNX Runtime lists no device of the QNN provider"
_ERRORS_ONLY = 3


def compile_context(model: Path, chip: str, out: Path) -> None:
    """Write `out`, whose operators are contexts and what the NPU does not take."""
    import onnxruntime as ort

    folder = qnn.site_packages()
    ort.register_execution_provider_library(qnn.NAME, str(folder / qnn.PROVIDER))
    devices = [device for device in ort.get_ep_devices() if device.ep_name == qnn.NAME]
    if not devices:
        raise SystemExit(NO_DEVICE)
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    for key, value in {"enable": "1", "file_path": str(out), "embed_mode": "1"}.items():
        options.add_session_config_entry(f"ep.context_{key}", value)
    chosen = qnn.options(str(folder / qnn.BACKEND), chip)
    options.add_provider_for_devices(devices[:1], chosen)
    ort.InferenceSession(str(model), options)


if __name__ == "__main__":
    compile_context(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
