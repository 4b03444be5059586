"""Snapdragon's NPU (Hexagon Tensor Processor): Qualcomm's compiler and simulator.

`qnn` finds the libraries, `sdk` those of an SDK of the user's, `ahead_of_time` compiles a file for
a chip, `dispatch` shows a compiled TFLite file to ONNX Runtime, whose provider holds the only
simulator.
"""
