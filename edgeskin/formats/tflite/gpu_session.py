"""TFLite files on LiteRT's GPU kernels, in the arithmetic of one's choice.

By LiteRT's C API, for its Python package cannot ask for float16. Signatures, and the struct, are
those of version 2.3, as in the device runner.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import NotSupportedHere, RunFailed
from edgeskin.formats import read_network
from edgeskin.formats.network import Network
from edgeskin.runtimes import BaseSession, TensorSpec

PRECISIONS = {"fp16": "1", "fp32": "2"}
"""What kernels compute float tensors in, by LiteRT's numbers (`LiteRtDelegatePrecision`)."""
_CPU, _GPU = 1, 2
_ALIGNMENT = 64  # of a tensor buffer's memory


def open_on_gpu(path: Path, precision: str) -> GpuSession:
    """Load a file without signatures, of which the GPU must take the whole.

    Args:
        precision: Of `PRECISIONS`.

    Raises:
        NotSupportedHere: It takes a part, and leaves the rest to the CPU; or there is no GPU.
        RunFailed: LiteRT refuses the file.
    """
    return GpuSession(path, precision)


class GpuSession(BaseSession):
    """A file's first subgraph, whose tensors name inputs and outputs."""

    def __init__(self, path: Path, precision: str):
        super().__init__()
        network = read_network(path)  # says what is missing where LiteRT is
        self.runtime = f"LiteRT {version('ai-edge-litert')}, WebGPU in {precision}"
        self.inputs = _specs(network, network.inputs)
        self.outputs = _specs(network, network.outputs)
        with ExitStack() as owned:
            made = partial(_made, owned)
            environment = made("Environment", 0, None)
            model = made("Model", environment, str(path).encode(), by="ModelFromFile")
            self._options = _options(made, precision)
            self._compiled = made("CompiledModel", environment, model, self._options.handle)
            whole, signature = ctypes.c_bool(), ctypes.c_void_p()
            _call("CompiledModelIsNonCpuFullyAccelerated", self._compiled, ctypes.byref(whole))
            if not whole:
                raise NotSupportedHere("the GPU takes it in parts only")
            _call("GetModelSignature", model, ctypes.c_size_t(0), ctypes.byref(signature))
            self._given = _buffers(made, signature, "Input", self.inputs)
            self._results = _buffers(made, signature, "Output", self.outputs)
            self._owned = owned.pop_all()

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        for buffer, spec in zip(self._given, self.inputs, strict=True):
            buffer.values[...] = feeds[spec.name]
        given, results = _handles(self._given), _handles(self._results)
        _call(
            "RunCompiledModel",
            self._compiled,
            ctypes.c_size_t(0),  # the signature
            ctypes.c_size_t(len(given)),
            given,
            ctypes.c_size_t(len(results)),
            results,
        )
        return {
            spec.name: buffer.values.copy()
            for buffer, spec in zip(self._results, self.outputs, strict=True)
        }

    def _close(self) -> None:
        self._owned.close()
        self._given = self._results = ()


class _Made(Protocol):
    """`_made` for one owner."""

    def __call__(self, kind: str, *arguments: Any, by: str = "") -> ctypes.c_void_p: ...


@dataclass(frozen=True)
class _Options:
    """A model's options, and the text that they read as long as they live."""

    handle: ctypes.c_void_p
    text: ctypes.Array[ctypes.c_char]


@dataclass(frozen=True)
class _Buffer:
    """Memory that LiteRT reads or writes in a run."""

    handle: ctypes.c_void_p
    values: NDArray[Any]


def _made(owned: ExitStack, kind: str, *arguments: Any, by: str = "") -> ctypes.c_void_p:
    """An object of the API, made by the function of its name, destroyed by its owner."""
    handle = ctypes.c_void_p()
    _call(f"Create{by or kind}", *arguments, ctypes.byref(handle))
    owned.callback(getattr(_litert(), f"LiteRtDestroy{kind}"), handle)
    return handle


def _options(made: _Made, precision: str) -> _Options:
    """The GPU first, the CPU for what it leaves, and the GPU's arithmetic."""
    options, gpu = made("Options"), ctypes.c_void_p()
    text = ctypes.create_string_buffer(f"precision = {PRECISIONS[precision]}\n".encode())
    _call("SetOptionsHardwareAccelerators", options, _GPU | _CPU)
    _call("CreateOpaqueOptions", b"gpu_options", text, _NOT_FREED, ctypes.byref(gpu))
    _call("AddOpaqueOptions", options, gpu)
    return _Options(options, text)


def _buffers(
    made: _Made, signature: ctypes.c_void_p, what: str, specs: Sequence[TensorSpec]
) -> tuple[_Buffer, ...]:
    """One for each input, or each output; raises RunFailed where LiteRT has other shapes."""
    buffers = []
    for index, spec in enumerate(specs):
        tensor, kind = ctypes.c_void_p(), _RankedType()
        found = f"GetSignature{what}TensorByIndex"
        _call(found, signature, ctypes.c_size_t(index), ctypes.byref(tensor))
        _call("GetRankedTensorType", tensor, ctypes.byref(kind))
        if (shape := tuple(kind.dimensions[: kind.rank])) != spec.shape:
            raise RunFailed(f"LiteRT says {shape} of {spec.name}, which is {spec.shape}")
        values = _aligned(spec)
        handle = made(
            "TensorBuffer",
            ctypes.byref(kind),
            ctypes.c_void_p(values.ctypes.data),
            ctypes.c_size_t(values.nbytes),
            None,
            by="TensorBufferFromHostMemory",
        )
        buffers.append(_Buffer(handle, values))
    return tuple(buffers)


def _aligned(spec: TensorSpec) -> NDArray[Any]:
    """Zeros where LiteRT takes memory: at 64 bytes, and to the end of the last 64."""
    size = int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
    room = np.zeros(size + 2 * _ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % _ALIGNMENT
    return room[begin : begin + size].view(spec.dtype).reshape(spec.shape)


def _handles(buffers: Sequence[_Buffer]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(buffers))(*(buffer.handle for buffer in buffers))


class _RankedType(ctypes.Structure):
    """`LiteRtRankedTensorType`; the lowest 7 bits of the second field are the rank."""

    _fields_ = (
        ("element", ctypes.c_int32),
        ("rank_and_flags", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )

    @property
    def rank(self) -> int:
        return int(self.rank_and_flags) & 127


_NOT_FREED = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
"""The text is Python's."""


@cache
def _litert() -> ctypes.CDLL:
    """LiteRT, and its accelerator, which it then finds by its name."""
    found = importlib.util.find_spec("ai_edge_litert")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0])
    ctypes.CDLL(str(folder / "libLiteRtWebGpuAccelerator.so"), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(folder / "libLiteRt.so"))


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the API; raises RunFailed with its status, unless that is 0."""
    if status := getattr(_litert(), f"LiteRt{name}")(*arguments):
        raise RunFailed(f"LiteRt{name} failed with status {status}")


def _specs(network: Network, names: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    tensors = [network.tensors[name] for name in names]
    return tuple(TensorSpec(tensor.name, tensor.shape, tensor.dtype) for tensor in tensors)
