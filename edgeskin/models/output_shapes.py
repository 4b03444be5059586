"""Whether a network gives what the heads of its spec ask for."""

from __future__ import annotations

import torch

from edgeskin.errors import EdgeskinError, InvalidRun, ShapeMismatch
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    EmbeddingHead,
    Head,
    RegressionHead,
    SegmentationHead,
    Spec,
    TensorHead,
)


def check_outputs(spec: Spec, network: torch.nn.Module) -> None:
    """Run one blank image through the network and hold its outputs against the heads."""
    image = torch.zeros(1, 3, spec.input.height, spec.input.width)
    try:
        with torch.inference_mode():
            raw = network(image)
    except EdgeskinError:
        raise
    except Exception as error:  # somebody else's code may raise anything
        raise InvalidRun(
            f"{spec.arch} fails on an image of {tuple(image.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if len(raw) != len(spec.heads):
        raise ShapeMismatch(
            f"{spec.arch} gives {len(raw)} outputs, the spec {len(spec.heads)} heads"
        )
    for head, tensor in zip(spec.heads, raw, strict=True):
        if not isinstance(tensor, torch.Tensor):
            kind = type(tensor).__name__
            raise ShapeMismatch(f"head '{head.name}' asks for a tensor, {spec.arch} gives a {kind}")
        shape, wanted = tuple(tensor.shape), _raw_shape(head)
        if len(shape) != len(wanted) or any(
            w not in (s, None) for s, w in zip(shape, wanted, strict=True)
        ):
            asked = " x ".join("?" if n is None else str(n) for n in wanted)
            raise ShapeMismatch(f"head '{head.name}' asks for {asked}, {spec.arch} gives {shape}")


def _raw_shape(head: Head) -> tuple[int | None, ...]:
    match head:
        case ClassificationHead():
            return (1, len(head.labels))
        case DistributionHead() | EmbeddingHead():
            return (1, head.size)
        case RegressionHead():
            return (1, 1)
        case SegmentationHead():
            return (1, len(head.labels), None, None)
        case TensorHead():
            return (1, *head.shape)
