"""TFLite files by litert-torch; no TensorFlow.

INT8: the converter makes an integer network of a QDQ graph only in its static
mode, which `QuantConfig` with any static PT2E quantizer switches on; that
quantizer itself is never run. The network is prepared for XNNPACK before, and what comes
out is legalized for it, or for any delegate.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from edgeskin.calibration.checks import float_results
from edgeskin.calibration.graphs import layer_name, layers
from edgeskin.calibration.program import unfolded
from edgeskin.calibration.ranks import lower_ranks
from edgeskin.calibration.rewrites import (
    drop_expansions,
    export,
    fold_batch_norms,
    fold_constants,
    tidied,
)
from edgeskin.converters.legalize.tflite.constants import give_constants_full_rank
from edgeskin.converters.legalize.tflite.wide_kernels import split_wide_kernels
from edgeskin.converters.model import INPUT, Job, any_strides
from edgeskin.errors import InvalidRun

_FLOAT16_WEIGHTS = [
    {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {
                "num_bits": 16,
                "dtype": "FLOAT",
                "symmetric": True,
                "granularity": "TENSORWISE",
            },
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
        },
    }
]


def convert(job: Job, path: Path) -> None:
    """Write `path`: NHWC in; normalisation and decoding stay float around an integer network."""
    path.write_bytes(finished(lowered(job), job))


def prepare(job: Job) -> Job:
    """The job in operators that litert-torch can lay out and XNNPACK has fast kernels for."""
    if not job.int8:
        network = job.once(_prepared_float)
        return job if network is job.network else replace(job, network=network)
    graph = copy.deepcopy(cast(fx.GraphModule, job.network))
    changed = not job.portable and split_wide_kernels(graph)
    return replace(job, network=tidied(graph, _example(job))) if changed else job


def _prepared_float(job: Job) -> nn.Module:
    example = _example(job)
    graph = cast(fx.GraphModule, any_strides(export(job.network, example)))
    fold_batch_norms(graph)
    changed = drop_expansions(graph) | lower_ranks(graph) | fold_constants(graph)
    changed |= not job.portable and split_wide_kernels(graph)
    return tidied(graph, example) if changed else job.network


def _example(job: Job) -> Tensor:
    size = job.metadata.spec.input
    return torch.zeros(1, 3, size.height, size.width)


def lowered(job: Job) -> bytes:
    """What litert-torch makes of a prepared job, before anything is rewritten."""
    if not job.int8:
        return job.once(_lowered)
    program = cast(fx.GraphModule, job.network)
    _check(program)
    graph = unfolded(program)
    give_constants_full_rank(graph)
    return _lowered(replace(job, network=graph))


def _lowered(job: Job) -> bytes:
    import litert_torch

    model: bytes = litert_torch.convert(
        _Named(job.module("NHWC"), job.names),
        sample_kwargs={INPUT: job.example("NHWC")},
        quant_config=_static() if job.int8 else None,
    ).model_content()
    return model


def _check(program: fx.GraphModule) -> None:
    """Raise InvalidRun for a layer that TFLite does not have."""
    if found := float_results(program):
        raise InvalidRun(
            f"{len(found)} of {len(layers(program))} layers take integers and give float, "
            f"'{layer_name(found[0])}' first, and TFLite has no such layer. Quantize their results "
            "too, or import the float model and calibrate it."
        )


def finished(model: bytes, job: Job) -> bytes:
    """`model` as edgeskin writes it: legalized, with its metadata."""
    from edgeskin.converters.legalize.tflite.float_outputs import outputs_are_float
    from edgeskin.converters.legalize.tflite.xnnpack import PORTABLE, REWRITES, legalize
    from edgeskin.formats.tflite.metadata_writer import finish

    if job.metadata.precision == "fp16":
        model = _float16_weights(model)
    rewrites = PORTABLE if job.portable else REWRITES
    if job.metadata.io == "app":
        rewrites = (*rewrites, outputs_are_float)
    model = legalize(model, rewrites)
    return finish(model, job.metadata, [INPUT], job.names)


class _Named(nn.Module):
    """Outputs as a dict, whose keys become the names of the signature."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.module = module
        self.names = names
        self.training = False

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.module(image), strict=True))


def _static() -> Any:
    from litert_torch.quantize.pt2e_quantizer import (
        PT2EQuantizer,
        get_symmetric_quantization_config,
    )
    from litert_torch.quantize.quant_config import QuantConfig

    return QuantConfig(PT2EQuantizer().set_global(get_symmetric_quantization_config()))


def _float16_weights(model: bytes) -> bytes:
    """Store weights as float16 behind DEQUANTIZE, which XNNPACK and GPU delegates absorb."""
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(model)
    quantizer.load_quantization_recipe(_FLOAT16_WEIGHTS)
    with np.errstate(over="ignore"):  # what float16 cannot hold, the self-check finds
        return bytes(quantizer.quantize().quantized_model)
