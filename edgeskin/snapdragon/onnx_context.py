"""`python -m edgeskin.snapdragon.onnx_context MODEL CHIP OUT [LEVEL]`: a context, by ONNX Runtime.

LEVEL is ONNX Runtime's number for what it logs: at 0, why each operator is left to the CPU. A
process of its own, for the provider's library can end the one that loads it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgeskin.snapdragon.npu_session import session_options

EVERYTHING = 0


def compile_context(model: Path, chip: str, out: Path, level: int | None = None) -> None:
    """Write `out`, whose operators are contexts and what the NPU does not take."""
    import onnxruntime as ort

    options = session_options(chip)
    if level is not None:
        options.log_severity_level = level
    for key, value in {"enable": "1", "file_path": str(out), "embed_mode": "1"}.items():
        options.add_session_config_entry(f"ep.context_{key}", value)
    ort.InferenceSession(str(model), options)


if __name__ == "__main__":
    compile_context(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:]))
