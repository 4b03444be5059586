"""A network that someone else wrote, taken in as a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgeskin.errors import EdgeskinError, InvalidRun, InvalidSpec, ShapeMismatch
from edgeskin.files import check_writable
from edgeskin.models.architectures import build
from edgeskin.models.run import fit_weights, read_weights, save_run
from edgeskin.models.trust import names_factory
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


def import_run(
    model: str,
    weights: Path | str,
    spec: Path | str,
    out: Path | str,
    *,
    model_args: Mapping[str, Any] | str = "{}",
    force: bool = False,
    trust: bool = False,
) -> None:
    """Build `package.module:factory`, load the state dict, check the heads, write a run.

    Args:
        model: `package.module:factory`.
        weights: A state dict: `.safetensors`, or `.pth` of tensors.
        spec: A `spec.json`; its `arch` fields are filled in.
        out: The run, a folder to make.
        model_args: Keywords of the factory, or their JSON.
        trust: Call the factory, whoever wrote it.

    Raises:
        UnknownName: The factory cannot be imported.
        NotTrusted: It needs `trust`.
        InvalidRun: The weights do not fit, or the network cannot be run.
        InvalidSpec: The spec or the arguments do not parse.
        ShapeMismatch: An output has not the shape that its head asks for.
    """
    weights, out = Path(weights), Path(out)
    check_writable(out, force=force)
    if not names_factory(model):
        raise InvalidSpec(f"--model must read package.module:factory, got '{model}'")
    taken = Spec.load(Path(spec)).model_copy(
        update={"arch": model, "arch_args": _arguments(model_args)}
    )
    network = build(taken, trust=trust)
    inner = getattr(network, "network", network)
    fit_weights(inner, read_weights(weights), where=str(weights))
    check_outputs(taken, network.eval())
    save_run(out, taken, network, force=force)


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


def _arguments(given: Mapping[str, Any] | str) -> dict[str, object]:
    try:
        arguments = json.loads(given) if isinstance(given, str) else dict(given)
    except ValueError as error:
        raise InvalidSpec(f"--model-args is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InvalidSpec("--model-args must be a JSON object, such as '{\"num_classes\": 4}'")
    return arguments
