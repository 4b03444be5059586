"""Files that were compiled ahead of time: one operator that holds what the NPU runs, a context.

ONNX: `EPContext` of ONNX Runtime, with the context as an attribute. TFLite: LiteRT's `DISPATCH_OP`,
whose options (a flexbuffer) say where in the file it lies and what its graph is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeskin.artifacts import Metadata
from edgeskin.errors import NotSupportedHere

_DISPATCH, _PROVIDER, _DOMAIN = b"DISPATCH_OP", "QNNExecutionProvider", "com.microsoft"
_OPSET, _IR = 20, 10


def as_onnx(compiled: Path, metadata: Metadata, out: Path) -> None:
    """Write the context of a compiled TFLite file as an ONNX file, which the simulator runs.

    Raises:
        NotSupportedHere: The NPU took the file in parts, or not at all.
    """
    import onnx
    from flatbuffers import flexbuffers
    from onnx import helper

    model = _read(compiled)
    graph = model.subgraphs[0]
    codes = [code.customCode for code in model.operatorCodes]
    if [codes[op.opcodeIndex] for op in graph.operators] != [_DISPATCH]:
        raise NotSupportedHere(f"{compiled.name} is not compiled whole, and cannot be simulated")
    (op,) = graph.operators
    # A flexbuffer: where in the file the context lies, and what its graph is called.
    options = flexbuffers.Loads(bytes(op.customOptions))
    start = options["bytecode_offset"]
    context = compiled.read_bytes()[start : start + options["bytecode_size"]]
    inputs, outputs = (
        [graph.tensors[i].name.decode() for i in ends] for ends in (op.inputs, op.outputs)
    )
    node = helper.make_node(
        "EPContext",
        inputs,
        outputs,
        domain=_DOMAIN,
        main_context=1,
        embed_mode=1,
        ep_cache_context=context,
        source=_PROVIDER,
        partition_name=options["name"],
    )
    given, taken = (
        [_value(graph.tensors[i]) for i in ends] for ends in (graph.inputs, graph.outputs)
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_DOMAIN, 1)]
    whole = helper.make_model(
        helper.make_graph([node], "compiled", given, taken), opset_imports=opsets, ir_version=_IR
    )
    helper.set_model_props(whole, metadata.entries())
    onnx.save(whole, out)


def _read(path: Path) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)


def _value(tensor: Any) -> Any:
    from ai_edge_litert import schema_py_generated as schema
    from onnx import TensorProto, helper

    kinds = {
        schema.TensorType.FLOAT32: TensorProto.FLOAT,
        schema.TensorType.UINT8: TensorProto.UINT8,
        schema.TensorType.INT8: TensorProto.INT8,
        schema.TensorType.INT16: TensorProto.INT16,
    }
    shape = [int(size) for size in tensor.shape]
    return helper.make_tensor_value_info(tensor.name.decode(), kinds[tensor.type], shape)
