"""Files that were compiled ahead of time: one operator that holds what the NPU runs, a context.

ONNX: `EPContext` of ONNX Runtime, with the context as an attribute. TFLite: LiteRT's `DISPATCH_OP`,
whose options (a flexbuffer) say where in the file it lies and what its graph is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeskin.artifacts import Metadata
from edgeskin.errors import NotSupportedHere
from edgeskin.formats import read_network
from edgeskin.formats.network import Tensor
from edgeskin.snapdragon import qnn

_DOMAIN = "com.microsoft"
_OPSET, _IR = 20, 10


def as_onnx(compiled: Path, metadata: Metadata | None, out: Path) -> None:
    """Write the context of a compiled TFLite file as an ONNX file, which the simulator runs.

    Raises:
        NotSupportedHere: The NPU took the file in parts, or not at all.
    """
    import onnx
    from onnx import helper

    network = read_network(compiled)
    if [op.type for op in network.operators] != ["DISPATCH_OP"]:
        raise NotSupportedHere(f"{compiled.name} is not compiled whole, and cannot be simulated")
    (op,), content = network.operators, compiled.read_bytes()
    options = _options(content)
    start = options["bytecode_offset"]
    node = helper.make_node(
        "EPContext",
        list(op.inputs),
        list(op.outputs),
        domain=_DOMAIN,
        main_context=1,
        embed_mode=1,
        ep_cache_context=content[start : start + options["bytecode_size"]],
        source=qnn.NAME,
        partition_name=options["name"],
    )
    given, taken = (
        [_value(network.tensors[name]) for name in names]
        for names in (network.inputs, network.outputs)
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_DOMAIN, 1)]
    whole = helper.make_model(
        helper.make_graph([node], "compiled", given, taken), opset_imports=opsets, ir_version=_IR
    )
    if metadata is not None:
        helper.set_model_props(whole, metadata.entries())
    onnx.save(whole, out)


def _options(content: bytes) -> Any:
    """Of the first operator of a TFLite file."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    (op, *_) = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0].operators
    return flexbuffers.Loads(bytes(op.customOptions))


def _value(tensor: Tensor) -> Any:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, kind, tensor.shape)
