"""A `torch.nn.Module` in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeskin.errors import InvalidRun
from edgeskin.sources.image_input import image_input
from edgeskin.sources.source_model import SourceModel, SourceTensor
from edgeskin.sources.torch_answers import FlatOutputs, answering, output_tensors


def read_module(network: nn.Module, example: Tensor | tuple[int, ...]) -> SourceModel:
    """Describe a network; it is put in eval mode, and otherwise left as it is.

    Args:
        example: What it takes, float32 (1, 3, H, W) or (1, H, W, 3), or that shape.

    Raises:
        InvalidRun: The example is no image, or the network fails on it, or gives no tensors.
    """
    shape = tuple(example.shape if isinstance(example, Tensor) else example)
    name = type(network).__name__
    image = image_input("x", (1, *shape[1:]), None, where=name)
    broken = [key for key, value in network.state_dict().items() if value.is_meta]
    if broken:
        raise InvalidRun(f"{name} has no values in '{broken[0]}': load its weights first")
    network.eval()
    return SourceModel(
        name=name,
        network=FlatOutputs(network).eval(),
        input=SourceTensor("x", image.shape),
        layout=image.layout,
        outputs=output_tensors(network, image.shape, where=name),
        runtime=f"PyTorch {torch.__version__}",
        answer=answering(network),
    )
