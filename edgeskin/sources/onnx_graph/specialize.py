"""An ONNX graph for one image size: what does not depend on the image is computed here.

Every operator runs once on an image of zeros. One that reads constants only
becomes a constant itself, and so does a shape: what is left are the operators
that a network runs, their sizes plain numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from onnx import GraphProto, ModelProto, NodeProto
from torch import Tensor

from edgeskin.errors import InvalidArtifact
from edgeskin.sources.onnx_graph import stepping
from edgeskin.sources.onnx_graph.calls import Call, Draft, Ref
from edgeskin.sources.onnx_graph.dtypes import to_tensor, torch_dtype
from edgeskin.sources.onnx_graph.naming import module_of
from edgeskin.sources.onnx_graph.onnx_input import OnnxImage
from edgeskin.sources.onnx_graph.operator_arguments import attributes, bind
from edgeskin.sources.onnx_graph.ops import MICROSOFT, OPERATORS
from edgeskin.sources.onnx_graph.ops.convolution import linear
from edgeskin.sources.onnx_graph.qoperators import expand_qoperators

# Their outputs' sizes depend on values; of constants they are computed once.
_MEASURING: dict[str, Callable[..., Any]] = {
    "NonZero": lambda x: torch.nonzero(x).T.contiguous(),
    "Compress": lambda x, condition: x.flatten()[condition.flatten().nonzero().flatten()],
}
_DATA_DEPENDENT = {*_MEASURING, "NonMaxSuppression", "Unique", "RoiAlign", "StringNormalizer"}
_OF_SHAPES = ("Shape", "Size")
_STANDARD = ("", "ai.onnx")
_MICROSOFT = "com.microsoft"
_FAULTS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError)
_SPECIAL = {"Constant", "If", "QuantizeLinear", "DequantizeLinear", "MatMul", "Gemm"}


def specialize(model: ModelProto, image: OnnxImage, where: str) -> Draft:
    """The operators that depend on the image, in order.

    Args:
        model: Checked, its functions inlined, with all data.
        where: The file, for messages.

    Raises:
        InvalidArtifact: Operators that are unknown (all of them named, with
            their number), one that cannot run, or sizes that depend on the image.
    """
    graph = GraphProto()
    graph.CopyFrom(model.graph)
    expand_qoperators(graph)
    unknown = Counter(_unknown(graph))
    if unknown:
        named = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
        raise InvalidArtifact(
            f"{where} has operators that edgeskin does not read: {named}. Cut the model before "
            "them, or export it in other terms."
        )
    opset = next((o.version for o in model.opset_import if o.domain in _STANDARD), 1)
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        return _Specializer(graph, image, opset, where).draft


def _unknown(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        if _function(node) is None and node.op_type not in _SPECIAL | _DATA_DEPENDENT:
            yield node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _unknown(attribute.g)


def _function(node: NodeProto) -> Callable[..., Any] | None:
    if node.domain in _STANDARD:
        return OPERATORS.get(node.op_type)
    if node.domain == _MICROSOFT:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            return OPERATORS["Identity"]  # never called: the steps are made elsewhere
        return MICROSOFT.get(node.op_type)
    return None


class _Specializer:
    """Walks a graph, inner ones too, and fills a `Draft`."""

    def __init__(self, graph: GraphProto, image: OnnxImage, opset: int, where: str):
        self.draft = Draft(image.name, tuple(value.name for value in graph.output))
        self.opset = opset
        self.where = where
        self._steps: dict[str, Call] = {}  # what dequantizes a constant, by its result
        self.draft.samples[image.name] = torch.zeros(image.shape)
        self._walk(graph)
        self._outputs()

    def _walk(self, graph: GraphProto) -> None:
        for tensor in graph.initializer:
            if tensor.name != self.draft.image:
                self._stored(tensor)
        for node in graph.node:
            try:
                self._node(node)
            except InvalidArtifact:
                raise
            except _FAULTS as error:
                line = (str(error).strip() or type(error).__name__).splitlines()[0]
                name = node.name or next(iter(node.output), "")
                raise InvalidArtifact(
                    f"{self.where}: operator {node.op_type} '{name}' cannot be read: {line}"
                ) from error

    def _stored(self, tensor: Any) -> None:
        try:
            self.draft.add_constant(tensor.name, to_tensor(tensor))
        except ValueError as error:
            raise InvalidArtifact(f"{self.where}: tensor '{tensor.name}': {error}") from error

    def _node(self, node: NodeProto) -> None:
        missing = [name for name in node.input if name and name not in self.draft.samples]
        if missing:
            raise ValueError(f"nothing before it computes its input '{missing[0]}'")
        moving = any(name and name not in self.draft.fixed for name in node.input)
        if node.op_type in _DATA_DEPENDENT:
            self._measure(node, moving)
        elif node.op_type == "Constant":
            self.draft.add_constant(node.output[0], _constant(node))
        elif node.op_type == "If":
            self._branch(node)
        elif node.op_type == "QuantizeLinear":
            self._quantize(node, moving)
        elif node.op_type == "DequantizeLinear":
            self._dequantize(node)
        else:
            self._unshifted(node)
            if not (moving and self._linear(node)):
                self._operator(node, moving)

    def _measure(self, node: NodeProto, moving: bool) -> None:
        function = _MEASURING.get(node.op_type)
        if moving or function is None or node.attribute:
            sources = ", ".join(f"'{name}'" for name in node.input if name)
            raise InvalidArtifact(
                f"{self.where}: operator {node.op_type} '{node.name or node.output[0]}' gives "
                "a tensor whose size depends on the image, which no target can run. Cut the "
                f"model before it, at {sources}."
            )
        values = [self.draft.samples[name] for name in node.input]
        self.draft.add_constant(node.output[0], function(*values))

    def _branch(self, node: NodeProto) -> None:
        """Take the branch of a condition that is known."""
        if node.input[0] not in self.draft.fixed:
            raise ValueError("its condition depends on the image")
        chosen = "then_branch" if bool(self.draft.samples[node.input[0]]) else "else_branch"
        branch = next(a.g for a in node.attribute if a.name == chosen)
        self._walk(branch)
        for inner, outer in zip(branch.output, node.output, strict=True):
            same = NodeProto(op_type="Identity", input=[inner.name], output=[outer])
            self._node(same)

    def _operator(self, node: NodeProto, moving: bool) -> None:
        function = _function(node)
        assert function is not None
        arguments, options = bind(function, node, self.draft, self.opset)
        call = Call(
            *(node.op_type, node.name, function, arguments, tuple(node.output), options),
            module=module_of(node),
        )
        results = call.run(self.draft.samples)
        if moving and node.op_type not in _OF_SHAPES:
            self._append(call, results)
            return
        sources = [name for name in call.reads() if name in self.draft.fixed]
        # An exporter stores equal constants once, and names each use by an Identity.
        alone = len(sources) == 1 and node.op_type != "Identity"
        origin = sources[0] if alone else None
        for name, result in zip(node.output, results, strict=False):
            # In memory of its own: an expanded or sliced constant would drag its source along.
            self.draft.add_constant(name, result.clone(), origin)

    def _append(self, call: Call, results: tuple[Tensor, ...]) -> None:
        named = zip(call.outputs, results, strict=False)  # masks and the like may be left out
        found = {name: result for name, result in named if name}
        self.draft.samples.update(found)
        self.draft.calls.append(call)

    def _unshifted(self, node: NodeProto) -> None:
        """Let an operator on integers read them as they were, where signed ones are held."""
        for place, name in enumerate(node.input):
            if name in self.draft.shifts:
                node.input[place] = self._plain_integers(name)

    def _plain_integers(self, name: str) -> str:
        shift = self.draft.shifts[name]
        if shift == 0:
            return name
        plain, kind = f"{name}::unsigned", torch.uint8 if shift == 128 else torch.int32
        if plain not in self.draft.samples:
            call = Call("Add", "", stepping.unshift, (Ref(name), shift, kind), (plain,))
            self._append(call, call.run(self.draft.samples))
        return plain

    def _outputs(self) -> None:
        for name in self.draft.outputs:
            if name not in self.draft.samples:
                raise InvalidArtifact(f"{self.where}: nothing computes its output '{name}'")
        self.draft.outputs = tuple(
            self._plain_integers(name) if name in self.draft.shifts else name
            for name in self.draft.outputs
        )

    def _grid(self, node: NodeProto, kind: torch.dtype) -> stepping.Grid:
        options = attributes(node)
        if options.get("block_size"):
            raise ValueError("scales of blocks are not supported")
        names = [*node.input, ""][1:3]
        if not self.draft.fixed.issuperset(filter(None, names)):
            raise ValueError("its scale depends on the image; edgeskin keeps fixed scales only")
        zero_points = self.draft.samples[names[1]] if names[1] else None
        axis = int(options.get("axis", 1))
        return stepping.grid_of(self.draft.samples[names[0]], zero_points, axis, kind)

    def _quantize(self, node: NodeProto, moving: bool) -> None:
        asked = attributes(node).get("output_dtype", 0)
        grid = self._grid(node, torch_dtype(asked) if asked else torch.uint8)
        x, output = node.input[0], node.output[0]
        if x in self.draft.shifts:
            raise ValueError("it quantizes integers")
        if moving:
            stepping.quantize(self.draft, node.name, x, output, grid)
        else:
            integers = stepping.quantize_constant(self.draft.samples[x], grid)
            self.draft.add_constant(output, integers, x)

    def _dequantize(self, node: NodeProto) -> None:
        x, output = node.input[0], node.output[0]
        grid = self._grid(node, self.draft.samples[x].dtype)
        stepping.dequantize(self.draft, node.name, x, output, grid)
        if x in self.draft.fixed and output not in self.draft.fixed:
            self._steps[output] = self.draft.calls[-1]

    def _linear(self, node: NodeProto) -> bool:
        """Make a product with a constant matrix a linear layer; False where it is none."""
        if node.domain not in _STANDARD or node.op_type not in ("MatMul", "Gemm"):
            return False
        options = attributes(node)
        x, matrix = node.input[:2]
        weights = self.draft.samples[matrix]
        constant = matrix in self.draft.fixed or matrix in self._steps
        if not constant or weights.dim() != 2 or self.draft.samples[x].dim() < 2:
            return False
        if x in self.draft.fixed or x in self._steps or not weights.is_floating_point():
            return False
        if options.get("transA") or options.get("alpha", 1.0) != 1.0:
            return False
        bias = node.input[2] if len(node.input) > 2 else ""
        if bias and not self._is_bias(bias, weights, options):
            return False
        if not options.get("transB"):
            matrix = self._transposed(matrix)
        arguments = (Ref(x), Ref(matrix), Ref(self._vector(bias)) if bias else None)
        call = Call(
            *(node.op_type, node.name, linear, arguments, tuple(node.output)),
            module=module_of(node),
        )
        self._append(call, call.run(self.draft.samples))
        return True

    def _is_bias(self, name: str, weights: Tensor, options: Mapping[str, Any]) -> bool:
        size = weights.shape[0 if options.get("transB") else 1]
        value = self.draft.samples[name]
        vector = value.numel() == size and (value.dim() == 0 or value.shape[-1] == size)
        return vector and name in self.draft.fixed and options.get("beta", 1.0) == 1.0

    def _vector(self, name: str) -> str:
        value = self.draft.samples[name]
        if value.dim() == 1:
            return name
        return self.draft.add_constant(f"{name}::vector", value.flatten(), name).name

    def _transposed(self, matrix: str) -> str:
        name = f"{matrix}::transposed"
        if name in self.draft.samples:
            return name
        if matrix in self._steps:
            stepping.transposed(self.draft, self._steps[matrix], name)
        else:
            value = self.draft.samples[matrix].T.contiguous()
            self.draft.add_constant(name, value, matrix)
        return name


def _constant(node: NodeProto) -> Tensor:
    [(name, value)] = attributes(node).items()
    if name == "value":
        return to_tensor(value)
    kinds = {"value_float": torch.float32, "value_int": torch.int64}
    kinds |= {"value_floats": torch.float32, "value_ints": torch.int64}
    if name not in kinds:
        raise ValueError(f"constants of the form {name} are not supported")
    return torch.tensor(value, dtype=kinds[name])
