"""Small ML Programs: built by coremltools, written as it writes them, read back and run."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.backend.mil.load import MILProtoExporter
from coremltools.converters.mil.mil import types
from coremltools.proto import Model_pb2
from numpy.typing import NDArray

from edgeskin.formats.coreml.package import Package
from edgeskin.runtimes.mil.parse import Program, read_program
from edgeskin.runtimes.mil.plan import Arithmetic, make_plan

Build = Callable[..., Any]
CASES: Counter[str] = Counter()
"""Programs that were run, by the operators in them; docs/results/mil.py prints it."""
IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18


def program(build: Build, *inputs: NDArray[Any], opset: Any = IOS17) -> Program:
    """What `build` makes of variables a, b, ...: exported with a weights file, and read back."""
    specs = [
        mb.TensorSpec(shape=x.shape, dtype=types.numpy_type_to_builtin_type(x.dtype))
        for x in inputs
    ]
    made = mb.program(input_specs=specs, opset_version=opset)(_named(build, len(inputs)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        weights = root / "weights"
        weights.mkdir()
        model = Model_pb2.Model()
        exported = MILProtoExporter(made, str(weights), opset.value).export()
        model.mlProgram.CopyFrom(exported)
        return read_program(model, Package(root, root / "model.mlmodel"))


def run(
    build: Build,
    *inputs: NDArray[Any],
    opset: Any = IOS17,
    arithmetic: Arithmetic = "as_saved",
) -> list[NDArray[Any]]:
    """The outputs of a program of one operator or a few."""
    read = program(build, *inputs, opset=opset)
    CASES.update({operation.type for operation in read.block.operations})
    plan = make_plan(read, arithmetic)
    with torch.inference_mode():
        values = {v.name: torch.from_numpy(x) for v, x in zip(plan.inputs, inputs, strict=True)}
        values = {k: v.float() if v.dtype == torch.float16 else v for k, v in values.items()}
        return [value.numpy() for value in plan.run(values).values()]


def _named(build: Build, count: int) -> Build:
    """mb.program reads parameter names: a function of exactly `count` of them."""
    names = "abcdefgh"[:count]
    scope: dict[str, Any] = {"build": build}
    exec(f"def made({', '.join(names)}): return build({', '.join(names)})", scope)
    made: Build = scope["made"]
    return made


def floats(*shape: int, seed: int = 0, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def integers(*shape: int, low: int = -20, high: int = 20, dtype: Any = np.int32) -> NDArray[Any]:
    return np.random.default_rng(1).integers(low, high, shape).astype(dtype)


def close(found: Sequence[NDArray[Any]], *expected: Any, ulps: float = 16) -> None:
    """Equal shapes and values, to `ulps` steps of float32 at the largest value of the tensor."""
    assert len(found) == len(expected)
    for got, want in zip(found, map(np.asarray, expected), strict=True):
        assert got.shape == want.shape
        top = float(np.max(np.abs(want[np.isfinite(want)]), initial=1e-30))
        within = 0 if got.dtype.kind in "iub" else ulps * np.spacing(np.float32(top))
        np.testing.assert_allclose(got, want, rtol=0, atol=within)
