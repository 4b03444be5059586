"""TorchScript archives (`torch.jit.save`), as long as torch can read them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.jit._fuser import optimized_execution

from edgeskin.errors import InvalidRun
from edgeskin.sources.image_input import image_input
from edgeskin.sources.source_model import SourceModel, SourceTensor
from edgeskin.sources.torch_answers import FlatOutputs, answering, output_tensors

aten = torch.ops.aten
# Operators that reach beyond the network: files, and Python.
_REFUSED = re.compile(r"aten::(from_file|save|load)|prim::PythonOp|cuda::.*")
_SPATIAL = {1: aten.conv1d.default, 2: aten.conv2d.default, 3: aten.conv3d.default}
_TRANSPOSED = {
    1: aten.conv_transpose1d.default,
    2: aten.conv_transpose2d.input,
    3: aten.conv_transpose3d.input,
}


def read_torchscript(path: Path, *, input_size: tuple[int, int] | None = None) -> SourceModel:
    """Read a TorchScript archive and trace it for one image.

    Its code is TorchScript, not Python, and is looked through before it runs: operators
    that reach files are refused.

    Args:
        input_size: Rows and columns of the image, which the archive does not say.

    Raises:
        InvalidRun: Damaged, too new or too old for torch, without `input_size`, of several
            inputs, with an operator that reaches beyond the network, or one that fails.
    """
    if input_size is None:
        raise InvalidRun(
            f"{path} is a TorchScript archive, which does not say what images it takes. Say it: "
            "--input-size 224x224, for instance."
        )
    script = _load(path)
    _check_operators(script, path)
    image = image_input("x", (1, 3, *input_size), None, where=str(path))
    outputs = output_tensors(script, image.shape, where=str(path))
    return SourceModel(
        name=path.stem,
        network=_traced(script, torch.zeros(image.shape), path),
        input=SourceTensor("x", image.shape),
        layout=image.layout,
        outputs=outputs,
        runtime=f"TorchScript, PyTorch {torch.__version__}",
        answer=answering(script),
    )


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated
            return torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:  # torch raises types of its own
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRun(
            f"torch {torch.__version__} cannot read the TorchScript archive {path}: {why}. Export "
            "the network where it was made: torch.export.save(torch.export.export(model.eval(), "
            "(image,)), 'model.pt2')."
        ) from error


def _check_operators(script: Any, path: Path) -> None:
    inputs = [value.debugName() for value in script.inlined_graph.inputs()][1:]
    if len(inputs) != 1:
        raise InvalidRun(
            f"{path} takes {len(inputs)} inputs ({', '.join(inputs)}); edgeskin takes networks of "
            "one image"
        )
    kinds = {node.kind() for node in script.inlined_graph.findAllNodes("prim::PythonOp")}
    text = str(script.inlined_graph)
    kinds |= set(re.findall(r"= (\w+::\w+)", text))
    for kind in sorted(kinds):
        if _REFUSED.fullmatch(kind):
            raise InvalidRun(f"{path} calls {kind}, which reaches beyond the network: not run")


def _traced(script: Any, example: Tensor, path: Path) -> fx.GraphModule:
    """The graph of aten operators that the script calls for an image of one shape."""
    try:
        with torch.no_grad(), optimized_execution(False):
            graph = make_fx(FlatOutputs(script), pre_dispatch=True)(example)
    except Exception as error:  # torch raises types of its own
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRun(f"{path} cannot be traced: {why}") from error
    _name_weights(graph, script)
    for node in graph.graph.nodes:
        if node.target is aten._convolution.default:
            _plain_convolution(node, graph)
    graph.recompile()
    return graph


def _name_weights(graph: fx.GraphModule, script: Any) -> None:
    """Give constants the names that they have in the script; all as parameters."""
    named = {
        tensor.data_ptr(): name
        for name, tensor in (*script.named_parameters(), *script.named_buffers())
        if tensor.numel()
    }
    for node in graph.graph.find_nodes(op="get_attr"):
        tensor = getattr(graph, node.target)
        name = named.get(tensor.data_ptr())
        if name is None or tensor.dim() == 0:
            continue
        place, _, last = name.rpartition(".")
        owner: nn.Module = graph
        for part in filter(None, place.split(".")):
            if not hasattr(owner, part):
                owner.add_module(part, nn.Module())
            owner = getattr(owner, part)
        if not hasattr(owner, last):
            owner.register_parameter(last, nn.Parameter(tensor.detach(), requires_grad=False))
        node.target = name


def _plain_convolution(node: fx.Node, graph: fx.GraphModule) -> None:
    """Let a traced `_convolution` be the convolution that torch's authors write."""
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups, *_ = node.args
    rank = len(stride)  # type: ignore[arg-type]
    if transposed:
        node.target = _TRANSPOSED[rank]
        node.args = (x, weight, bias, stride, padding, output_padding, groups, dilation)
    else:
        node.target = _SPATIAL[rank]
        node.args = (x, weight, bias, stride, padding, dilation, groups)
