"""Element types of ONNX as torch's; every float but float64 is held as float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor

_TORCH: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT4: torch.int8,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT4: torch.uint8,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.int64,
    TensorProto.UINT64: torch.int64,
}

_NUMPY = {kind: str(kind).removeprefix("torch.") for kind in _TORCH.values()}


def torch_dtype(code: int) -> torch.dtype:
    """Of a `TensorProto.DataType`; raises ValueError for text, complex numbers and float8."""
    if code not in _TORCH:
        raise ValueError(f"values of the type {type_name(code)} are not supported")
    return _TORCH[code]


def type_name(code: int) -> str:
    known = code in TensorProto.DataType.values()
    return TensorProto.DataType.Name(code).lower() if known else f"number {code}"


def to_tensor(proto: TensorProto) -> Tensor:
    """A stored tensor, in memory of its own."""
    kind = torch_dtype(proto.data_type)
    values: NDArray[Any] = onnx.numpy_helper.to_array(proto)
    # Through NumPy, which has types that torch lacks: float16 kinds, int4 and uint32 among them.
    return torch.from_numpy(np.array(values.astype(_NUMPY[kind]), order="C"))
