"""ONNX files by torch's exporter; INT8 as QDQ in the form that ONNX Runtime runs fastest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgeskin.artifacts import Metadata
from edgeskin.converters.model import INPUT, Job
from edgeskin.models.app_model import Layout
from edgeskin.version import __version__

# The first with Gelu as one operator (ViT-Tiny in INT8 is 1.1 times as fast as with
# its formula); ONNX Runtime 1.17 and later read it.
OPSET = 20


def convert(job: Job, path: Path) -> None:
    """Write `path`: uint8 NHWC in for `app`, float32 NCHW for `tensor`."""
    layout: Layout = "NHWC" if job.metadata.io == "app" else "NCHW"
    program = torch.onnx.export(
        job.module(layout),
        (job.example(layout),),
        dynamo=True,
        input_names=[INPUT],
        output_names=list(job.names),
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    if job.int8:
        activations_to_uint8(model)
    if job.metadata.precision == "fp16":
        model = _to_float16(model)
    _describe(model, job.metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def activations_to_uint8(model: ModelProto) -> None:
    """Re-express int8 activations as uint8, in place: q + 128 with zero_point + 128.

    The real numbers stay the same. ONNX Runtime's CPU kernels multiply uint8
    activations with int8 weights; on int8 activations EfficientNet-Lite0 took
    1.5 times as long. What has one scale, constants of add and mul included, is
    an activation; what has one for each channel is a weight and stays int8.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero_point = constants[node.input[2]]
        if zero_point.data_type == TensorProto.INT8 and not zero_point.dims:
            for place in (0, 2):
                if node.input[place] in constants:
                    node.input[place] = _shifted(model, constants, node.input[place])
    _drop_unused(model)


def _shifted(model: ModelProto, constants: dict[str, TensorProto], name: str) -> str:
    """The name of a constant that holds int8 `name` + 128 as uint8, added where it is new."""
    fresh = f"{name}_uint8"
    if fresh not in constants:
        values = numpy_helper.to_array(constants[name]).astype(np.int16) + 128
        constants[fresh] = numpy_helper.from_array(values.astype(np.uint8), fresh)
        model.graph.initializer.append(constants[fresh])
    return fresh


def _drop_unused(model: ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]  # their types have changed; readers infer them


def _to_float16(model: ModelProto) -> ModelProto:
    """Float16 inside, the types of inputs and outputs kept."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    halved = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    halved.topological_sort()  # the casts at both ends were put behind everything else
    return halved.model


def _describe(model: ModelProto, metadata: Metadata) -> None:
    """Embed the metadata; drop the exporter's stack traces, which name local paths."""
    for node in model.graph.node:
        _forget(node)
    del model.graph.metadata_props[:], model.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    model.graph.name = metadata.spec.name
    model.producer_name, model.producer_version = "edgeskin", __version__
    model.doc_string = metadata.spec.intended_use
    for key, value in metadata.entries().items():
        model.metadata_props.add(key=key, value=value)


def _forget(node: NodeProto) -> None:
    node.doc_string = ""
    del node.metadata_props[:]
