"""The small network's spec, images and faults: what its files are made of and held against."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from samples import acne_spec
from small_network import SIZE, make_network

from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.converters.parity.documents import LayerReport
from edgeskin.converters.parity.reference import Model, of_network
from edgeskin.converters.selfcheck import images
from edgeskin.formats.tflite.flatbuffer import Graph
from edgeskin.spec import ClassificationHead, InputSpec

PRODUCTS = ("stem", "depth", "reduce", "expand", "project", "last", "severity", "count")
BROKEN = "project"


@cache
def spec() -> Any:
    size = InputSpec(height=SIZE, width=SIZE, resize="squash", mean=(0.5,) * 3, std=(0.25,) * 3)
    labels = tuple(str(i) for i in range(65))
    heads = (acne_spec().heads[0], ClassificationHead(name="count", labels=labels))
    return acne_spec(name="small", input=size, heads=heads)


@cache
def pixels() -> np.ndarray:
    return np.stack(images(spec().input))


@cache
def network(precision: str) -> torch.nn.Module:
    made = make_network()
    if precision != "int8":
        return made
    return calibrate_network(made, spec(), images(spec().input), method="minmax").module


@cache
def model(precision: str = "fp32") -> Model:
    return of_network("small", spec(), network(precision), "")


def spoil_onnx(source: Path, path: Path, name: str) -> None:
    """Give the layer `name` the weights of another network, of the same size."""
    file = onnx.load(source)
    reads = {i: node for node in file.graph.node for i in node.input}
    for tensor in file.graph.initializer:
        values = numpy_helper.to_array(tensor)
        is_weight = values.ndim == 4 and f".{name}." in f".{tensor.name}"
        if is_weight and reads[tensor.name].op_type == "Conv":
            swapped = np.ascontiguousarray(-values[::-1])
            tensor.CopyFrom(numpy_helper.from_array(swapped, tensor.name))
            onnx.save(file, path)
            return
    raise AssertionError(f"no weights of {name}")


def spoil_tflite(source: Path, which: int) -> bytes:
    """The flatbuffer with the weights of one product reversed.

    `which` is its number in the order of the file.
    """
    graph = Graph(source.read_bytes())
    products = [op for op in graph.operators if graph.name(op) in ("CONV_2D", "FULLY_CONNECTED")]
    tensor = products[which].inputs[1]
    values = graph.constant(tensor)
    assert values is not None
    buffer = graph.model.buffers[graph.body.tensors[tensor].buffer]
    buffer.data = np.frombuffer(np.ascontiguousarray(-values[::-1]).tobytes(), np.uint8)
    return graph.pack()


def check_repro(report: LayerReport, folder: Path, layer: str) -> None:
    """The folder runs anywhere, in a process of its own, and prints the figure of the report."""
    assert report.repro is not None
    assert report.repro.layer == layer
    done = subprocess.run(
        [sys.executable, str(folder / "run.py")],
        capture_output=True,
        text=True,
        cwd="/",
        check=True,
    )
    printed = float(done.stdout.split()[1])
    assert printed == pytest.approx(report.repro.sqnr_db, abs=1e-3)
