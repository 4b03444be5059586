"""Small ONNX graphs with one image, to be read and to be run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgeskin.sources.onnx_graph import read_onnx
from edgeskin.sources.source_model import SourceModel

SHAPE = (1, 3, 8, 10)


@dataclass(frozen=True)
class Case:
    """One operator that reads the image, in `shape` and `dtype`, and `constants` behind it."""

    operator: str
    constants: tuple[NDArray[Any] | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    dtype: int = TensorProto.FLOAT
    outputs: int = 1
    opset: int = 20
    domain: str = ""
    first: bool = True
    """Whether the image is the first input, else the last."""

    def __str__(self) -> str:
        options = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.operator}{self.opset}({options})"

    def nodes(self, number: int) -> tuple[list[NodeProto], list[TensorProto], list[str]]:
        """Nodes, stored tensors and names of outputs; `number` makes their names its own."""
        nodes, stored, name = [], [], "image"
        if self.shape is not None:
            stored.append(numpy_helper.from_array(np.array(self.shape), f"shape{number}"))
            nodes.append(helper.make_node("Reshape", [name, f"shape{number}"], [f"r{number}"]))
            name = f"r{number}"
        if self.dtype != TensorProto.FLOAT:
            nodes.append(helper.make_node("Cast", [name], [f"t{number}"], to=self.dtype))
            name = f"t{number}"
        places = []
        for index, constant in enumerate(self.constants):
            places.append(f"c{number}_{index}" if constant is not None else "")
            if constant is not None:
                stored.append(numpy_helper.from_array(constant, places[-1]))
        inputs = [name, *places] if self.first else [*places, name]
        outputs = [f"y{number}_{index}" for index in range(self.outputs)]
        nodes.append(
            helper.make_node(
                self.operator,
                inputs,
                outputs,
                f"node{number}",
                domain=self.domain,
                **self.attributes,
            )
        )
        return nodes, stored, outputs


def save_model(
    path: Path,
    nodes: Sequence[NodeProto],
    stored: Sequence[TensorProto],
    outputs: Sequence[str],
    *,
    shape: Sequence[int | str] = SHAPE,
    dtype: int = TensorProto.FLOAT,
    opset: int = 20,
) -> Path:
    """A model whose input is `image`; the types of its outputs are left to be inferred."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("image", dtype, list(shape))],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        list(stored),
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)
    return path


def save_cases(path: Path, cases: Sequence[Case]) -> Path:
    """All of one operator set, each a node of its own."""
    parts = [case.nodes(number) for number, case in enumerate(cases)]
    nodes, stored, outputs = ([each for part in parts for each in part[k]] for k in range(3))
    return save_model(path, nodes, stored, outputs, opset=cases[0].opset)


def image(shape: Sequence[int] = SHAPE, seed: int = 7) -> NDArray[np.float32]:
    """Normal values, none of them near a whole or a half number."""
    values = np.random.default_rng(seed).normal(0, 1.5, tuple(shape))
    return (np.floor(values * 4) / 4 + 0.1).astype(np.float32)


def answers(
    model: SourceModel, x: NDArray[Any]
) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    """The file's outputs, and the network's."""
    with torch.inference_mode():
        ours = model.network(torch.from_numpy(x.astype(np.float32)))
    return model.answer(x), tuple(value.numpy() for value in ours)


def read_both(
    path: Path,
) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    model = read_onnx(path)
    return answers(model, image(model.input.shape))
