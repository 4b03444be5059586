"""The files that others' tools make, each by its own recommended way.

LiteRT: litert-torch, its input NHWC by `to_channel_last_io`; INT8 by
ai-edge-quantizer's static recipe, whose files take and give int8, as edgeskin's do.

ONNX Runtime: torch's exporter; INT8 by `quant_pre_process`, then
`quantize_static` as QDQ with a scale for each channel. Activations are int8,
the function's default, and in a second file uint8, what its documentation
recommends for x86.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeskin.benchmarks.peers.zoo import normalized
from edgeskin.models.run import Run, load_run


def litert_float(folder: Path, path: Path) -> None:
    import litert_torch

    run = _run(folder)
    size = run.spec.input
    network = litert_torch.to_channel_last_io(_Bare(run.network).eval(), args=[0])
    example = torch.zeros(1, size.height, size.width, 3)
    path.write_bytes(litert_torch.convert(network, (example,)).model_content())


def litert_int8(folder: Path, path: Path) -> None:
    quantize_tflite(folder / "litert-float.tflite", "args_0", calibration(folder), path)


def quantize_tflite(
    source: Path, image: str, images: Sequence[NDArray[np.float32]], path: Path
) -> None:
    """ai-edge-quantizer's INT8 of a float file whose input `image` is NHWC.

    Args:
        images: Each (1, 3, H, W), normalised.
    """
    from ai_edge_quantizer.quantizer import Quantizer
    from ai_edge_quantizer.recipe import static_wi8_ai8

    quantizer = Quantizer(str(source))
    quantizer.load_quantization_recipe(static_wi8_ai8())
    feeds = [{image: x.transpose(0, 2, 3, 1)} for x in images]
    with warnings.catch_warnings():  # its interpreters warn of the memory that they ask for
        warnings.simplefilter("ignore", UserWarning)
        found = quantizer.calibrate({"serving_default": feeds}, num_threads=1)
        quantized = quantizer.quantize(found).quantized_model
    path.write_bytes(bytes(quantized or b""))


def onnx_float(folder: Path, path: Path) -> None:
    run = _run(folder)
    size = run.spec.input
    example = torch.zeros(1, 3, size.height, size.width)
    network = _Bare(run.network).eval()
    program = torch.onnx.export(
        network, (example,), dynamo=True, input_names=["image"], external_data=False, verbose=False
    )
    assert program is not None
    program.save(path)


def onnx_int8(folder: Path, path: Path) -> None:
    quantize_onnx(folder / "onnx-float.onnx", calibration(folder), path, "QInt8")


def onnx_int8_for_x86(folder: Path, path: Path) -> None:
    quantize_onnx(folder / "onnx-float.onnx", calibration(folder), path, "QUInt8")


def quantize_onnx(
    source: Path, images: Sequence[NDArray[np.float32]], path: Path, activations: str
) -> None:
    """ONNX Runtime's INT8 of a float file whose input `image` is NCHW.

    Args:
        images: Each (1, 3, H, W), normalised.
        activations: A name of `QuantType`.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    quantize_static(
        prepared,
        path,
        _Reader(iter(images)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType[activations],
        weight_type=QuantType.QInt8,
    )


def _run(folder: Path) -> Run:
    """The run of `folder`, which whoever asks for its files has written or loaded before."""
    return load_run(folder / "run", trust=True)


class _Reader:
    """Calibration images one by one, then None: ONNX Runtime's CalibrationDataReader."""

    def __init__(self, images: Iterator[NDArray[np.float32]]):
        self._images = images

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image}


class _Bare(nn.Module):
    """The network; an only output by itself, not in a tuple."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        out: tuple[torch.Tensor, ...] = self.network(image)
        return out if len(out) > 1 else out[0]


def calibration(folder: Path) -> list[NDArray[np.float32]]:
    """The images of `samples.npz` as the float network takes them, each (1, 3, H, W)."""
    run = _run(folder)
    with np.load(folder / "samples.npz") as samples:
        images = normalized(run.spec, samples["calibration"]).numpy()
    return list(images[:, None])
