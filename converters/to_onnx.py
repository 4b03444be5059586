"""ONNX files by torch's exporter; INT8 as QDQ in the form that its runtime runs fastest."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.version_converter
import onnx_ir as ir
import torch
from onnx import ModelProto, NodeProto
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgeskin.artifacts import Metadata
from edgeskin.converters.legalize.onnx import find_form, legalize
from edgeskin.converters.model import INPUT, Job, activations
from edgeskin.models.app_model import Layout
from edgeskin.version import __version__

# What torch's exporter writes by itself; for less, the finished graph is converted down.
_LEAST_OPSET = 18


def convert(job: Job, path: Path) -> None:
    """Write `path`: uint8 NHWC in for `app`, float32 NCHW for `tensor`."""
    model = ModelProto()
    model.CopyFrom(job.once(_exported))
    if job.metadata.precision == "fp16":
        model = _to_float16(model)
    _describe(model, job.metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _exported(job: Job) -> ModelProto:
    """The model in float32, or in integers, legalized."""
    layout: Layout = "NHWC" if job.metadata.io == "app" else "NCHW"
    form = find_form(activations(job.network), portable=job.portable)
    program = torch.onnx.export(
        job.module(layout),
        (job.example(layout),),
        dynamo=True,
        input_names=[INPUT],
        output_names=list(job.names),
        opset_version=max(form.opset, _LEAST_OPSET),
        verbose=False,
    )
    assert program is not None
    legalize(program.model.graph, form)
    model = _to_proto(program.model)
    if form.opset < _LEAST_OPSET:
        model = onnx.version_converter.convert_version(model, form.opset)
    return model


def _to_proto(model: ir.Model) -> ModelProto:
    """The model without what no node uses.

    Shapes inside are left out: some have changed, and readers infer them.
    """
    RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    return proto


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
