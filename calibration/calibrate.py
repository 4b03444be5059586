"""From a trained float network and images to a quantized program. No training."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import rich
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgeskin.calibration.bias import correct_biases
from edgeskin.calibration.program import Program
from edgeskin.calibration.quantizer import EdgeQuantizer
from edgeskin.calibration.rewrites import export, flatten
from edgeskin.calibration.schemes import check_method, find_scheme
from edgeskin.calibration.settle import check_finite, check_scales, fit_biases, pin_ranges
from edgeskin.errors import InvalidData, InvalidRun, MissingPackage, ShapeMismatch
from edgeskin.models.app_model import AppModel
from edgeskin.spec import Spec

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
Progress = Callable[[int, int], None]
Samples = Sequence[Tensor]


def calibrate(
    network: nn.Module,
    spec: Spec,
    images: Images,
    *,
    scheme: str = "w8a8",
    method: str = "nncf",
    progress: Progress | None = None,
) -> Program:
    """Choose the scale of every tensor from the values that `images` cause in it.

    Args:
        network: Float: (1, 3, H, W) to a tuple of raw heads. Put in eval mode.
        spec: Says how pixels are normalised.
        images: Preprocessed pixels, RGB uint8 (H, W, 3), of the train split.
        progress: Called with (images done, images in all).

    Raises:
        UnknownName: No such scheme or method.
        InvalidData: No images, or none with more than one colour.
        ShapeMismatch: An image is not uint8 (H, W, 3) of the spec's size.
        InvalidRun: A weight or an activation is not finite; the layer is named.
    """
    chosen = find_scheme(scheme)
    check_method(method)
    check_images(images, spec)
    check_weights(network)
    samples = _Samples(spec, images)
    reference = _flatten(network, spec, samples[0])
    check_finite(reference, samples)
    graph = _METHODS[method](
        copy.deepcopy(reference), EdgeQuantizer(chosen), samples, _Counter(images, progress)
    )
    pin_ranges(graph)
    check_scales(graph)
    correct_biases(graph, reference, samples)
    fit_biases(graph)
    return Program(spec, export(graph, samples[0]), scheme, _record(method, images))


def check_images(images: Images, spec: Spec) -> None:
    """
    Raises:
        InvalidData: No images, or none with more than one colour.
        ShapeMismatch: An image is not uint8 (H, W, 3) of the spec's size.
    """
    if not len(images):
        raise InvalidData("calibration needs images and got none. Add some to the train split.")
    wanted = (spec.input.height, spec.input.width, 3)
    for index, image in enumerate(images):
        if image.shape != wanted or image.dtype != np.uint8:
            raise ShapeMismatch(
                f"calibration image {index} is {image.dtype} {image.shape}, the network wants "
                f"uint8 {wanted}. Preprocess it with the spec first."
            )
    if all((image == image[0, 0]).all() for image in images):
        raise InvalidData(
            f"each of the {len(images)} calibration images is one flat colour, so no activation "
            "shows its range. Use real images of the train split."
        )


def check_weights(network: nn.Module) -> None:
    """
    Raises:
        InvalidRun: A parameter or buffer holds NaN or infinity; it is named.
    """
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise InvalidRun(f"the weights '{name}' hold NaN or infinity. Train the run again.")


def _flatten(network: nn.Module, spec: Spec, example: Tensor) -> GraphModule:
    try:
        return flatten(network.eval(), example)
    except Exception as error:  # torch.export raises types of its own, many lines long
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRun(
            f"the network '{spec.arch}' cannot be exported to a graph: {reason}"
        ) from error


class _Samples(Sequence[Tensor]):
    """The images as the network's input, float32 (1, 3, H, W), made when asked for."""

    def __init__(self, spec: Spec, images: Images):
        self.images = images
        self.normalize = AppModel(nn.Identity(), spec).normalize

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[index]))
        return self.normalize(pixels[None]).contiguous()


class _Counter:
    """Hands a sample on and reports how many went through."""

    def __init__(self, images: Images, progress: Progress | None):
        self.done, self.total = 0, len(images)
        self.progress = progress

    def __call__(self, sample: Tensor) -> Tensor:
        self.done = min(self.done + 1, self.total)
        if self.progress is not None:
            self.progress(self.done, self.total)
        return sample


def _minmax(
    graph: GraphModule, quantizer: EdgeQuantizer, samples: Samples, count: _Counter
) -> GraphModule:
    prepared = prepare_pt2e(graph, quantizer)
    with torch.no_grad():
        for sample in samples:
            prepared(count(sample))
    return convert_pt2e(prepared)


def _nncf(
    graph: GraphModule, quantizer: EdgeQuantizer, samples: Samples, count: _Counter
) -> GraphModule:
    nncf = _import_nncf()
    with _quiet_console():
        return nncf.experimental.torch.fx.quantize_pt2e(
            graph,
            quantizer,
            nncf.Dataset(samples, count),
            subset_size=len(samples),
            activations_range_estimator_params=(
                nncf.quantization.range_estimator.RangeEstimatorParametersSet.HISTOGRAM
            ),
        )


def _import_nncf() -> Any:
    """NNCF with its log quiet and its telemetry out of reach.

    It would open an identity file in the home folder on import and send events
    afterwards; it does neither where it cannot import `openvino_telemetry`.
    """
    try:
        with _unimportable("openvino_telemetry"):
            import nncf
            import nncf.experimental.torch.fx
            import nncf.quantization.range_estimator
    except ModuleNotFoundError as error:
        if error.name != "nncf":
            raise
        raise MissingPackage(
            "calibration by 'nncf' needs the package: pip install 'edgeskin[quantize]', "
            "or choose --method minmax"
        ) from error
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _unimportable(name: str) -> Iterator[None]:
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


_METHODS = {"nncf": _nncf, "minmax": _minmax}


@contextlib.contextmanager
def _quiet_console() -> Iterator[None]:
    """Keep NNCF's progress bars, which go to rich's global console, off stdout."""
    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def _record(method: str, images: Images) -> dict[str, Any]:
    """What the scales came from: enough to find a test image among them later."""
    tools = ("torch", "torchao", "nncf") if method == "nncf" else ("torch", "torchao")
    return {
        "method": method,
        "images": len(images),
        "sha256": [hashlib.sha256(np.ascontiguousarray(i).data).hexdigest() for i in images],
        "tools": {name: version(name) for name in tools},
    }
