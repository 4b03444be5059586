"""ONNX files on the simulator of the NPU, by ONNX Runtime's provider, tensors in and out.

For a process of its own: the provider's library can end the one that loads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeskin.errors import NotSupportedHere, RunFailed
from edgeskin.formats.onnx.session import StartedSession, first_line
from edgeskin.snapdragon import qnn

NO_DEVICE = "ONNX Runtime lists no device of the QNN provider"
_ERRORS_ONLY = 3
_IN_PARTS = "fallback to CPU EP has been explicitly disabled"


def session_options(chip: str) -> Any:
    """`onnxruntime.SessionOptions` for the NPU of a chip; registers the provider at first.

    Raises:
        MissingPackage, NotSupportedHere: Qualcomm's libraries are not here, or find no device.
    """
    import onnxruntime as ort

    folder = qnn.site_packages()
    if not (devices := _devices()):
        ort.register_execution_provider_library(qnn.NAME, str(folder / qnn.PROVIDER))
        devices = _devices()
    if not devices:
        raise NotSupportedHere(NO_DEVICE)
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.add_provider_for_devices(devices[:1], qnn.options(str(qnn.backend()), chip))
    return options


def open_on_npu(path: Path, chip: str) -> StartedSession:
    """Load an ONNX file, compiled or not, of which the NPU must take the whole.

    Raises:
        NotSupportedHere: It takes a part, and leaves the rest to the CPU.
        RunFailed: It refuses the file.
    """
    import onnxruntime as ort

    options = session_options(chip)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = ort.InferenceSession(str(path), options)
    except Exception as error:  # ONNX Runtime's own types share no base but Exception
        if _IN_PARTS in str(error):
            raise NotSupportedHere("the NPU takes it in parts only") from error
        raise RunFailed(first_line(error)) from error
    return StartedSession(session, f"ONNX Runtime {ort.__version__}, {qnn.named()}")


def _devices() -> list[Any]:
    import onnxruntime as ort

    return [device for device in ort.get_ep_devices() if device.ep_name == qnn.NAME]
