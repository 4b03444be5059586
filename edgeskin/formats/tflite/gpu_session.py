"""TFLite files on LiteRT's GPU kernels, in float32.

LiteRT's Python package has no setting for float16, which the device runner chooses in C.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import NotSupportedHere, RunFailed
from edgeskin.formats import read_network
from edgeskin.formats.network import Network
from edgeskin.runtimes import BaseSession, TensorSpec


def open_on_gpu(path: Path) -> GpuSession:
    """Load a file without signatures, of which the GPU must take the whole.

    Raises:
        NotSupportedHere: It takes a part, and leaves the rest to the CPU; or there is no GPU.
        RunFailed: LiteRT refuses the file.
    """
    return GpuSession(path)


class GpuSession(BaseSession):
    """A file's first subgraph, whose tensors name inputs and outputs."""

    def __init__(self, path: Path):
        super().__init__()
        from ai_edge_litert.compiled_model import (
            CompiledModel,
            CpuOptions,
            GpuOptions,
            HardwareAccelerator,
            Options,
        )

        options = Options(
            hardware_accelerators=HardwareAccelerator.GPU | HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=1),
            gpu_options=GpuOptions(enforce_f32=True),
        )
        try:
            self._model = CompiledModel.from_file(str(path), options=options)
        except (ValueError, RuntimeError) as error:
            raise RunFailed(str(error)) from error
        if not self._model.is_fully_accelerated():
            raise NotSupportedHere("the GPU takes it in parts only")
        self.runtime = f"LiteRT {version('ai-edge-litert')}, WebGPU"
        network = read_network(path)
        self.inputs = _specs(network, network.inputs)
        self.outputs = _specs(network, network.outputs)
        self._given = self._model.create_input_buffers(0)
        self._made = self._model.create_output_buffers(0)

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        for buffer, spec in zip(self._given, self.inputs, strict=True):
            buffer.write(np.ascontiguousarray(feeds[spec.name]))
        self._model.run_by_index(0, self._given, self._made)
        return {
            spec.name: _values(buffer, spec)
            for buffer, spec in zip(self._made, self.outputs, strict=True)
        }

    def _close(self) -> None:
        self._given = self._made = []
        self._model = None


def _specs(network: Network, names: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    tensors = [network.tensors[name] for name in names]
    return tuple(TensorSpec(tensor.name, tensor.shape, tensor.dtype) for tensor in tensors)


def _values(buffer: Any, spec: TensorSpec) -> NDArray[Any]:
    values = buffer.read(int(np.prod(spec.shape)), np.dtype(spec.dtype).type)
    return np.array(values).reshape(spec.shape)
