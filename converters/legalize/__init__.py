"""Rewrites that let one runtime run a whole network on its fast path; same function.

One folder a format. `tflite.constants` and `coreml` work on the exported graph that their
converter reads; `tflite.xnnpack` and `onnx` on the file that comes out.
"""
