"""ONNX files of any exporter, as networks that torch exports."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto, TensorProto

from edgeskin.sources.onnx_graph.fusion import fuse
from edgeskin.sources.onnx_graph.onnx_answers import OnnxAnswers
from edgeskin.sources.onnx_graph.onnx_hints import hints_of
from edgeskin.sources.onnx_graph.onnx_input import find_image
from edgeskin.sources.onnx_graph.onnx_loading import load_model
from edgeskin.sources.onnx_graph.onnx_network import OnnxNetwork
from edgeskin.sources.onnx_graph.specialize import specialize
from edgeskin.sources.source_model import (
    LEAST_DB,
    LEAST_FLOAT16_DB,
    LEAST_QUANTIZED_DB,
    SourceModel,
    SourceTensor,
)


def read_onnx(path: Path, *, input_size: tuple[int, int] | None = None) -> SourceModel:
    """The network in an `.onnx` file, for one image.

    Args:
        path: The file; data beside it is read, data elsewhere never.
        input_size: Height and width, where the file leaves them open.

    Returns:
        The network, and the file itself on ONNX Runtime's CPU provider, its graph
        as written. float16 is computed in float32.

    Raises:
        InvalidArtifact: Damaged, not ONNX, with operators that are unknown, with
            an input that is no image or of open size, or with sizes that depend
            on the image; the message says which and what to do.
    """
    path = Path(path)
    model = load_model(path)
    image = find_image(model, input_size, str(path))
    draft = specialize(model, image, str(path))
    fuse(draft)
    network = OnnxNetwork(draft)
    names = [value.name for value in model.graph.output]
    answers = OnnxAnswers(path, model, image, network)
    quantized = any(call.type in ("QuantizeLinear", "DequantizeLinear") for call in draft.calls)
    return SourceModel(
        name=path.stem,
        network=network,
        input=SourceTensor(image.name, image.shape),
        layout=image.layout,
        outputs=tuple(
            SourceTensor(name, tuple(draft.samples[held].shape))
            for name, held in zip(names, draft.outputs, strict=True)
        ),
        runtime=answers.runtime,
        answer=answers.answer,
        steps=answers.steps,
        hints=hints_of(model),
        quantized=quantized,
        least_db=_least_db(model, quantized),
    )


def _least_db(model: ModelProto, quantized: bool) -> float:
    """What an import must reach: float16 is computed in float32 here, and rounded there."""
    if quantized:
        return LEAST_QUANTIZED_DB
    halves = any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return LEAST_FLOAT16_DB if halves else LEAST_DB
