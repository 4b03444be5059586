"""How far a sound file must agree: as far as the rounding of its very network lets it.

A float file computes what the network computes in another order, so that what is left is
rounding. How much that is depends on the network and is measured: float32 against float64, on
the same images, of the whole or of a layer by itself. Kernels round more than torch does (XNNPACK
by up to 21 dB in a layer, 17 dB in all, over the networks of docs/results/proof.md), and
float16 has 13 bits less; the rest of each margin is for what was not measured.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeskin import metrics
from edgeskin.converters.parity.reference import Model, of_network
from edgeskin.formats import Format
from edgeskin.postprocess import Outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGES = 4
_MARGIN_DB = {"fp32": 35.0, "fp16": 90.0}
_HIGHEST_DB = {"fp32": 100.0, "fp16": 30.0}
"""However little torch rounds: kernels approximate exp and tanh, and float16 is short of values."""
_LOWEST_DB = {"fp32": 40.0, "fp16": 10.0}
_LAYER_HIGHEST_DB = {"fp32": 100.0, "fp16": 40.0}

# Of INT8 beside its float network: one bit of the answers (6.02 dB). What is measured lies
# between 20 and 40 dB, and 15 where a poor quantizer still keeps decisions; a layer's eight
# bits leave 20 to 50 dB, of values that are mostly small 15.
INT8_DB, INT8_LAYER_DB = 6.0, 10.0
# Beside its program, whose integers it has, only roundings to the other side are left: at
# least 54 dB in ONNX, 35 dB in TFLite (products of two activations; others 57 dB), and 26 dB in
# Core ML, where products are summed in float16. The floors stand in `edgeskin.formats`.
# An accelerator rounds more than a CPU does: sums in float16 leave 13 dB in a layer whose terms
# cancel (the NPU, an EfficientNet of random weights), its integer kernels 40 dB beside the program.
ACCELERATOR_LAYER_DB = {"fp16": 10.0, "int8": 25.0}
"""The highest floors of layers that an accelerator runs; float32 has those of a CPU."""
FILE_DB = {"fp32": 60.0, "fp16": 20.0, "int8": INT8_DB}
FILE_LAYER_DB = {"fp32": 60.0, "fp16": 30.0, "int8": INT8_LAYER_DB}
"""Of two files, for whose network nobody knows the rounding."""


def whole_db(precision: str, rounding_db: float | None) -> float:
    """What the worst output must reach; `rounding_db` of the network, None where unknown."""
    if precision == "int8" or rounding_db is None:
        return FILE_DB[precision]
    return _within(rounding_db - _MARGIN_DB[precision], precision, _HIGHEST_DB)


def most_db(precision: str) -> float:
    """The highest floor there is: what reaches it need not be asked for its network's rounding."""
    return _HIGHEST_DB.get(precision, INT8_DB)


def layer_db(
    precision: str, rounding_db: float | None, file_type: Format, *, of_program: bool
) -> float:
    """What a layer must reach by itself; see `whole_db`."""
    if precision == "int8" and of_program:
        return file_type.int8_layer_db
    if precision == "int8" or rounding_db is None:
        return FILE_LAYER_DB[precision]
    return _within(rounding_db - _MARGIN_DB[precision], precision, _LAYER_HIGHEST_DB)


def _within(floor: float, precision: str, highest: dict[str, float]) -> float:
    return round(min(max(floor, _LOWEST_DB[precision]), highest[precision]), 1)


def rounding_db(model: Model, pixels: NDArray[np.uint8]) -> float | None:
    """How far a float network's decoded outputs in float32 agree with those in float64.

    Args:
        pixels: uint8 (N, H, W, 3); the first `IMAGES` are used.

    Returns:
        SQNR of the worst output in dB; None for a program, a file, and a network that
        cannot be run in float64.
    """
    from torch import fx

    if model.network is None or isinstance(model.network, fx.GraphModule):
        return None
    try:
        exact = of_network(model.name, model.spec, _in_double(model.network), "")
        return worst_sqnr_db(exact.run_all(pixels[:IMAGES]), model.run_all(pixels[:IMAGES]))
    except RuntimeError:  # somebody else's network, with types of its own inside
        return None


def _in_double(network: nn.Module) -> nn.Module:
    import torch

    class InDouble(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(network).double()
            self.training = False

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return tuple(out.float() for out in self.network(x.double()))

    return InDouble()


def worst_sqnr_db(expected: Outputs, outputs: Outputs) -> float:
    """Of all outputs, in dB; NaN where one has values that are no numbers."""
    return float(np.min([metrics.sqnr_db(x, outputs[name]) for name, x in expected.items()]))
