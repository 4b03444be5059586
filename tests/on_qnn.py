"""Run an ONNX file on the simulator of Qualcomm's NPU: `python on_qnn.py MODEL INPUTS OUTPUTS`.

A process of its own, for the provider can end it. INPUTS is a `.npy` with one input a row, OUTPUTS
a `.npz` by name. No operator may fall back to the CPU.
"""

import sys

import numpy as np
import onnxruntime
import onnxruntime_qnn

# A name that ends so makes ONNX Runtime list devices that are not in this machine.
NAME = "qnn.virtual"
# Snapdragon 8 Gen 2. The simulator's default is a chip without float16, for softmax and the like.
CHIP = "43"


def run(model: str, inputs: str, outputs: str) -> None:
    onnxruntime.register_execution_provider_library(NAME, onnxruntime_qnn.get_library_path())
    devices = [d for d in onnxruntime.get_ep_devices() if d.ep_name == NAME]
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {"backend_path": onnxruntime_qnn.get_qnn_htp_path(), "soc_model": CHIP}
    options.add_provider_for_devices(devices[:1], settings)
    session = onnxruntime.InferenceSession(model, options)
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    rows = [session.run(names, {given.name: row[None]}) for row in np.load(inputs)]
    np.savez(outputs, **dict(zip(names, map(np.concatenate, zip(*rows, strict=True)), strict=True)))


if __name__ == "__main__":
    run(*sys.argv[1:])
