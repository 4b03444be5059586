"""From a trained float network and images to a quantized program. No training."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

from edgeskin.calibration.bias import correct_biases
from edgeskin.calibration.by_nncf import quantize_by_nncf
from edgeskin.calibration.checks import (
    Images,
    check_images,
    check_weights,
    float_operators,
    warnings_about,
)
from edgeskin.calibration.finalize import (
    check_scales,
    fit_biases,
    float_weights,
    pin_input,
    pin_ranges,
    round_scales,
)
from edgeskin.calibration.observe import instability, observe
from edgeskin.calibration.observers import ActivationObserver
from edgeskin.calibration.program import Program
from edgeskin.calibration.quantizer import EdgeQuantizer
from edgeskin.calibration.record import CalibrationRecord
from edgeskin.calibration.rewrites import flatten, tidied
from edgeskin.calibration.schemes import Scheme, check_method, find_scheme
from edgeskin.errors import InvalidRun
from edgeskin.models.app_model import AppModel
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec


def calibrate_network(
    network: nn.Module,
    spec: Spec,
    images: Images,
    *,
    scheme: str = "w8a8",
    method: str = "mse",
    exclude: Sequence[str] = (),
    progress: Progress = silent,
) -> Program:
    """Choose the scale of every tensor from the values that `images` cause in it.

    Args:
        network: Float: (1, 3, H, W) to a tuple of raw heads. Put in eval mode.
        spec: Says how pixels are normalised.
        images: Preprocessed pixels, RGB uint8 (H, W, 3), of the train split.
        exclude: Patterns of module paths, as `blocks.0.*`, of layers to leave in float.
        progress: Called with (kind of work, done, in all).

    Returns:
        The program; `calibration.warnings` holds what a person should know of it.

    Raises:
        UnknownName: No such scheme or method, or a pattern that matches no layer.
        InvalidData: Fewer than two images, or none with more than one colour.
        ShapeMismatch: An image is not uint8 (H, W, 3) of the spec's size.
        InvalidRun: A weight or an activation is not finite; the layer is named.
    """
    check(network, spec, images, scheme, method)
    reference = float_graph(network, spec)
    return calibrate_graph(
        reference, spec, images, scheme=scheme, method=method, exclude=exclude, progress=progress
    )


def check(network: nn.Module, spec: Spec, images: Images, scheme: str, method: str) -> None:
    """Refuse what `calibrate_network` says that it refuses, before anything is done."""
    check_method(method, find_scheme(scheme))
    check_images(images, spec)
    check_weights(network)


def calibrate_graph(
    reference: GraphModule,
    spec: Spec,
    images: Images,
    *,
    scheme: str,
    method: str,
    exclude: Sequence[str],
    progress: Progress,
) -> Program:
    """`calibrate_network` of a graph that `float_graph` made, which is left as it is."""
    chosen, samples = find_scheme(scheme), Samples(spec, images)
    by_nncf = method == "nncf" and chosen.activations is not None
    # The halves are compared for NNCF too, whose own ranges come from a pass of its own.
    observer = ActivationObserver.with_args(method="mse" if method == "nncf" else method)
    prepared = observe(reference, EdgeQuantizer(chosen, exclude, observer), samples, progress)
    if by_nncf:
        quantizer = EdgeQuantizer(chosen, exclude)
        graph = quantize_by_nncf(copy.deepcopy(reference), quantizer, samples, progress)
    with _one_thread():
        ratios = instability(prepared, reference)
        if not by_nncf:
            graph = convert_pt2e(prepared)
        _finalize(graph, reference, spec, chosen)
        correct_biases(graph, reference, samples, progress)
        fit_biases(graph, float_weights(reference))
    in_float = float_operators(graph)
    record = CalibrationRecord(
        method=method,
        images=len(images),
        sha256=tuple(hashlib.sha256(np.ascontiguousarray(i).data).hexdigest() for i in images),
        tools=_tools(method),
        exclude=tuple(exclude),
        float_operators=in_float,
        half_ratios={name: round(ratio, 4) for name, ratio in ratios.items()},
        warnings=tuple(warnings_about(chosen, in_float, ratios)),
    )
    return Program(spec, scheme, record, module=tidied(graph, samples[0]))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: sharing the many small steps of a graph costs more than it gains.

    On busy cores, where one thread waits for the other, bias correction took 9 times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finalize(graph: GraphModule, reference: GraphModule, spec: Spec, scheme: Scheme) -> None:
    """Give known ranges their scales, round all scales to float16, quantize the weights again."""
    if scheme.activations is not None:
        pin_input(graph, spec, scheme.activations.symmetric)
        pin_ranges(graph)
    round_scales(graph, reference)
    check_scales(graph)


def float_graph(network: nn.Module, spec: Spec) -> GraphModule:
    """The network as a flat graph of few operators, batch norms folded; put in eval mode.

    Raises:
        InvalidRun: It cannot be exported.
    """
    example = torch.zeros(1, 3, spec.input.height, spec.input.width)
    try:
        return flatten(network.eval(), example)
    except InvalidRun:
        raise
    except Exception as error:  # torch.export raises types of its own, many lines long
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRun(
            f"the network '{spec.arch}' cannot be exported to a graph: {reason}"
        ) from error


class Samples(Sequence[Tensor]):
    """The images as the network's input, float32 (1, 3, H, W), made when asked for."""

    def __init__(self, spec: Spec, images: Images):
        self.images = images
        self.normalize = AppModel(nn.Identity(), spec).normalize

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[index]))
        return self.normalize(pixels[None]).contiguous()


def _tools(method: str) -> dict[str, str]:
    names = ("torch", "torchao", "nncf") if method == "nncf" else ("torch", "torchao")
    return {name: version(name) for name in names}
