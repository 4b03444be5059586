"""What an app reads is float, whatever the network computes in.

Where nothing decodes a head (an embedding, a tensor, a value of scale 1), litert-torch lets the
last integers be the model's output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeskin.formats.tflite.flatbuffer import Graph


def outputs_are_float(graph: Graph, operator: Any) -> bool:
    """An int8 output of `operator` becomes a float32 one, by a DEQUANTIZE behind it."""
    changed = False
    for place, tensor in enumerate(operator.outputs):
        if not graph.is_output(tensor) or graph.kind(tensor) != np.int8:
            continue
        integers = graph.add_tensor(graph.shape(tensor), like=tensor)
        for reader in graph.consumers(tensor):
            reader.inputs = [integers if i == tensor else i for i in reader.inputs]
        operator.outputs[place] = integers
        graph.insert_after(operator, graph.operator("DEQUANTIZE", [integers], [tensor]))
        # The tensor keeps its index: outputs and signatures name it by that.
        output = graph.body.tensors[tensor]
        output.type, output.quantization = schema.TensorType.FLOAT32, None
        changed = True
    return changed
