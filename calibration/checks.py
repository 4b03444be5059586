"""Checks before calibration, and warnings about its result."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from edgeskin.calibration.graphs import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    LAYERS,
    PADS,
    QUANTIZE,
    argument,
    aten,
    computations,
    layers,
    operands,
)
from edgeskin.calibration.quantizer import FOLLOWERS
from edgeskin.calibration.schemes import LEAST_IMAGES, Scheme
from edgeskin.errors import InvalidData, InvalidRun, ShapeMismatch
from edgeskin.spec import Spec

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

UNSTABLE = 0.2
"""Scales of two halves of the images that lie further apart than this are warned of."""

_NAMED = 3
# Operators that move or pick values and compute nothing.
_MOVING = {
    aten.view.default,
    aten.permute.default,
    aten.transpose.int,
    aten.slice.Tensor,
    aten.select.int,
    aten.unsqueeze.default,
    aten.squeeze.dims,
    aten.expand.default,
    aten.clone.default,
    operator.getitem,
}


def check_images(images: Images, spec: Spec) -> None:
    """Refuse images that no ranges can come from.

    Raises:
        InvalidData: Fewer than `LEAST_IMAGES` images, or none with more than one colour.
        ShapeMismatch: An image is not uint8 (H, W, 3) of the spec's size.
    """
    if len(images) < LEAST_IMAGES:
        raise InvalidData(
            f"calibration needs at least {LEAST_IMAGES} images and got {len(images)}; 256 are "
            "usual. Add images to the train split, or raise --samples."
        )
    expected = (spec.input.height, spec.input.width, 3)
    for index, image in enumerate(images):
        if image.shape != expected or image.dtype != np.uint8:
            raise ShapeMismatch(
                f"calibration image {index} is {image.dtype} {image.shape}, the network wants "
                f"uint8 {expected}. Preprocess it with the spec first."
            )
    if all((image == image[0, 0]).all() for image in images):
        raise InvalidData(
            f"each of the {len(images)} calibration images is one flat colour, so no activation "
            "shows its range. Use real images of the train split."
        )


def check_weights(network: nn.Module) -> None:
    """Refuse a network with broken weights.

    Raises:
        InvalidRun: A parameter or buffer holds NaN or infinity; it is named.
    """
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise InvalidRun(f"the weights '{name}' hold NaN or infinity. Train the run again.")


def check_shapes(graph: GraphModule) -> None:
    """Refuse an exported graph whose sizes are not fixed.

    Raises:
        InvalidRun: The size of a tensor depends on the image; the operator is named.
    """
    for node in graph.graph.nodes:
        for value in tree_leaves(node.meta.get("val")):
            if not all(isinstance(size, int) for size in getattr(value, "shape", ())):
                raise InvalidRun(
                    f"operator {_plain_name(node)} gives a tensor whose size depends on the image "
                    f"({tuple(value.shape)}), which no target can run. Write the network with "
                    "fixed sizes."
                )


def float_operators(graph: GraphModule) -> dict[str, int]:
    """Operators of a quantized graph that a runtime will compute in float, with their counts.

    One runs in integers if the quantizer knows it, it reads nothing but dequantized
    values and constants, and its result is quantized at once or by the activation
    that fuses with it. Operators that only move values are left out.
    """
    nodes = [node for node in computations(graph) if node.target not in _MOVING]
    in_float = (
        node
        for node in nodes
        if not (_is_known(node) and _reads_integers(node) and _gives_integers(node))
    )
    return dict(Counter(map(_plain_name, in_float)).most_common())


def float_results(graph: GraphModule) -> list[Node]:
    """Layers of integers whose results stay float, as x86 and OpenVINO have them."""
    return [
        node
        for node in layers(graph)
        if operands(node)[1].target is DEQUANTIZE_CHANNELS
        and _reads_integers(node)
        and not _gives_integers(node)
        and QUANTIZE not in {user.target for user in node.users}
    ]


def _reads_integers(node: Node) -> bool:
    return all(
        source.op == "get_attr"
        or source.target in (DEQUANTIZE, DEQUANTIZE_CHANNELS)
        or (_is_activation(node) and source.op == "call_function" and _reads_integers(source))
        for source in node.all_input_nodes
    )


def _gives_integers(node: Node) -> bool:
    users = list(node.users)
    if len(users) == 1 and _is_activation(users[0]):
        return _gives_integers(users[0])
    return all(user.target is QUANTIZE for user in users)


def _is_known(node: Node) -> bool:
    if node.target in PADS and argument(node, "value"):
        return False  # the quantizer pads by zeros alone
    return node.target in LAYERS or node.target in FOLLOWERS or _is_activation(node)


def _is_activation(node: Node) -> bool:
    return node.target in (aten.relu.default, aten.clamp.default)


def _plain_name(node: Node) -> str:
    """`softmax` of `aten.softmax.int`."""
    return str(node.target).removeprefix("aten.").partition(".")[0].strip("_")


def warnings_about(
    scheme: Scheme, in_float: Mapping[str, int], ratios: Mapping[str, float]
) -> list[str]:
    """What a person should know of a program, one line each."""
    lines = []
    if scheme.activations is not None and in_float:
        listed = ", ".join(f"{name} x{count}" for name, count in in_float.items())
        lines.append(f"left in float: {listed}")
    far = sorted((r, name) for name, r in ratios.items() if r > UNSTABLE)[::-1]
    if far:
        named = ", ".join(f"{name} by {ratio:.0%}" for ratio, name in far[:_NAMED])
        more = f" and {len(far) - _NAMED} more" if len(far) > _NAMED else ""
        lines.append(
            f"{len(far)} of {len(ratios)} scales differ by more than {UNSTABLE:.0%} between two "
            f"halves of the images: {named}{more}. Use more --samples, or --method percentile."
        )
    return lines
