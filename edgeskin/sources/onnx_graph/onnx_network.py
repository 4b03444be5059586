"""A specialised graph as a module of torch."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from edgeskin.sources.onnx_graph.calls import Call, Draft
from edgeskin.sources.onnx_graph.naming import constant_paths


class OnnxNetwork(nn.Module):
    """The operators of a `Draft`, one after the other; constants under their module paths."""

    def __init__(self, draft: Draft):
        super().__init__()
        self.calls = tuple(draft.calls)
        self.image = draft.image
        self.outputs = draft.outputs
        self.shifts = dict(draft.shifts)
        self._paths = constant_paths(draft)
        measured = _measured(self.calls)
        for name, path in self._paths.items():
            value = draft.samples[name].clone()
            trained = value.is_floating_point() and name not in measured
            self._register(path, nn.Parameter(value) if trained else value)
        self._frees = _last_reads(self.calls, {*self.outputs, *self._paths})
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        values = self._start(image)
        for _ in self._run(values):
            pass
        return tuple(values[name] for name in self.outputs)

    def trace(self, image: Tensor) -> Iterator[tuple[Call, dict[str, Tensor]]]:
        """Each operator with its results, in order."""
        values = self._start(image)
        for call in self._run(values):
            yield call, {name: values[name] for name in call.outputs if name in values}

    def _start(self, image: Tensor) -> dict[str, Tensor]:
        values = {name: self._constant(path) for name, path in self._paths.items()}
        values[self.image] = image
        return values

    def _run(self, values: dict[str, Tensor]) -> Iterator[Call]:
        """Each operator once it is done; then what none reads any more is let go."""
        for call, free in zip(self.calls, self._frees, strict=True):
            values.update(zip(call.outputs, call.run(values), strict=False))
            yield call
            for name in free:
                values.pop(name, None)

    def _register(self, path: str, value: Tensor) -> None:
        module: nn.Module = self
        *parents, leaf = path.split(".")
        for name in parents:
            if name not in dict(module.named_children()):
                module.add_module(name, nn.Module())
            module = module.get_submodule(name)
        if isinstance(value, nn.Parameter):
            module.register_parameter(leaf, value)
        else:
            module.register_buffer(leaf, value)

    def _constant(self, path: str) -> Tensor:
        module, _, leaf = path.rpartition(".")
        value: Tensor = getattr(self.get_submodule(module), leaf)
        return value


def _measured(calls: tuple[Call, ...]) -> set[str]:
    """Floats that no training changes by its gradients: statistics of batch norms, and scales."""
    found = set()
    for call in calls:
        if call.type == "BatchNormalization":
            found |= {value.name for value in call.arguments[3:5]}
        elif call.type in ("QuantizeLinear", "DequantizeLinear"):
            found |= set(call.reads())
    return found


def _last_reads(calls: tuple[Call, ...], kept: set[str]) -> tuple[tuple[str, ...], ...]:
    """For each operator, what nothing behind it reads."""
    seen = set(kept)
    frees = []
    for call in reversed(calls):
        fresh = {*call.reads(), *call.outputs} - seen
        seen |= fresh
        frees.append(tuple(sorted(fresh)))
    return tuple(reversed(frees))
