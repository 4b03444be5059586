"""Rewrites that let one runtime run a whole network on its fast path; same function.

`constants` works on the graph that litert-torch converts, `xnnpack` on the
`.tflite` file that comes out.
"""
