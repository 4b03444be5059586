"""A program made ready to run: every operator bound to its function, constants made whole.

Floating tensors are held as float32. In the arithmetic "as_saved" the result of
an operator that the program declares float16 is rounded to float16 (to nearest,
halves to even; beyond 65504 it is infinite, as on a device): sums run in
float32 and are rounded once an operator. "full" leaves that rounding out.
Integers keep their type; uint16 and uint32, which PyTorch hardly has, are held
in the next larger signed one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from edgeskin.errors import InvalidArtifact
from edgeskin.runtimes.mil import control
from edgeskin.runtimes.mil.bind import Kind, kinds, python_value
from edgeskin.runtimes.mil.ops import OPERATORS
from edgeskin.runtimes.mil.parse import Argument, Block, Constant, Operation, Program, Variable

Arithmetic = Literal["as_saved", "full"]
Values = dict[str, Tensor]
_STORED = {
    "bool": torch.bool,
    **dict.fromkeys(("float16", "float32", "float64"), torch.float32),
    **dict.fromkeys(("int4", "int8"), torch.int8),
    **dict.fromkeys(("uint1", "uint2", "uint3", "uint4", "uint6", "uint8"), torch.uint8),
    "int16": torch.int16,
    **dict.fromkeys(("uint16", "int32"), torch.int32),
    **dict.fromkeys(("uint32", "int64", "uint64"), torch.int64),
}
_FAULTS = (InvalidArtifact, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Step:
    """One operator; `fixed` are the parameters that are known, `taken` those that a run gives."""

    operation: Operation
    function: Callable[..., Any]
    fixed: Mapping[str, Any]
    taken: tuple[tuple[str, Kind, tuple[str, ...]], ...]
    blocks: tuple[Plan, ...] = ()
    frees: tuple[str, ...] = ()

    def reads(self) -> set[str]:
        """Names of what it needs, those of its inner blocks too."""
        own = {name for _, _, names in self.taken for name in names}
        return own.union(*(block.reads() for block in self.blocks))

    def run(self, values: Values, arithmetic: Arithmetic) -> None:
        """Compute, and put the results into `values`; raises InvalidArtifact where it cannot."""
        try:
            arguments = dict(self.fixed)
            for parameter, kind, names in self.taken:
                if kind == "tensor":
                    arguments[parameter] = values[names[0]]
                elif kind == "tensors":
                    arguments[parameter] = [values[name] for name in names]
                else:
                    arguments[parameter] = python_value(values[names[0]].tolist(), kind)
            if self.blocks:
                arguments |= {"blocks": self.blocks, "values": values}
            results = self.function(**arguments)
            if isinstance(results, Tensor):
                results = (results,)
            for variable, result in zip(self.operation.outputs, results, strict=True):
                values[variable.name] = store(result, variable, arithmetic)
        except _FAULTS as error:
            line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            operation = self.operation
            raise InvalidArtifact(
                f"operator {operation.type} '{operation.name}' cannot run: {line}"
            ) from error


@dataclass(frozen=True)
class Plan:
    """Steps in order; `constants` are those that steps read by name."""

    inputs: tuple[Variable, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    constants: Values
    arithmetic: Arithmetic

    def reads(self) -> set[str]:
        return set(self.outputs).union(*(step.reads() for step in self.steps))

    def run(self, given: Values) -> Values:
        """Outputs by name."""
        values = self.constants | given
        for _ in self._run_steps(values):
            pass
        return {name: values[name] for name in self.outputs}

    def trace(self, given: Values) -> Iterator[tuple[Variable, Tensor]]:
        """Every variable in the order of the program, as it is computed."""
        values = self.constants | given
        for step in self._run_steps(values):
            for variable in step.operation.outputs:
                yield variable, values[variable.name]

    def _run_steps(self, values: Values) -> Iterator[Step]:
        """Each step once it is done; then what nothing reads any more is let go."""
        for step in self.steps:
            step.run(values, self.arithmetic)
            yield step
            for name in step.frees:
                values.pop(name, None)


def store(value: Tensor, variable: Variable, arithmetic: Arithmetic) -> Tensor:
    """`value` in the type that the program declares; raises ValueError for another shape."""
    if variable.type is None:
        raise ValueError("its output is declared to be no tensor")
    shape = variable.type.shape
    if len(shape) != value.dim() or any(
        n not in (-1, m) for n, m in zip(shape, value.shape, strict=True)
    ):
        raise ValueError(f"it gives {tuple(value.shape)}, the program declares {shape}")
    value = value.to(_STORED[variable.type.dtype])
    if variable.type.dtype == "float16" and arithmetic == "as_saved":
        value = value.half().float()
    return value


def make_plan(program: Program, arithmetic: Arithmetic) -> Plan:
    """Bind every operator; those of constants alone are computed here and now.

    Raises:
        InvalidArtifact: Operators that are unknown (all of them named, with
            their number), inputs that an operator lacks or does not take, or a
            name that is used before it is there.
    """
    unknown = Counter(_unknown(program.block))
    if unknown:
        named = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
        raise InvalidArtifact(f"the program has operators that this runtime does not know: {named}")
    with torch.inference_mode():
        return _Planner(program.constants, arithmetic).plan(program.block, set())


def _unknown(block: Block) -> Iterator[str]:
    for operation in block.operations:
        if operation.type not in OPERATORS and operation.type not in control.OPERATORS:
            yield operation.type
        for inner in operation.blocks:
            yield from _unknown(inner)


class _Planner:
    """Makes plans of a program's blocks, which share its constants."""

    def __init__(self, constants: Mapping[str, Constant], arithmetic: Arithmetic):
        self._raw = dict(constants)
        self._arithmetic: Arithmetic = arithmetic
        self._tensors: Values = {}  # constants as tensors, once an operator asks for them so

    def plan(self, block: Block, outside: set[str]) -> Plan:
        known = outside | {variable.name for variable in block.inputs}
        steps = []
        for operation in block.operations:
            step = self._bind(operation, known)
            if step.blocks or step.reads() & known:
                known |= {variable.name for variable in operation.outputs}
                steps.append(step)
            else:
                step.run(values := dict(self._tensors), self._arithmetic)
                self._tensors |= {v.name: values[v.name] for v in operation.outputs}
        for name in block.outputs:
            self._check(name, known, "the program's output")
        read = set(block.outputs).union(*(step.reads() for step in steps))
        constants = {name: self._tensors[name] for name in read & self._tensors.keys()}
        keep = set(block.outputs) | constants.keys()
        return Plan(
            block.inputs, block.outputs, _with_frees(steps, keep), constants, self._arithmetic
        )

    def _bind(self, operation: Operation, known: set[str]) -> Step:
        function = OPERATORS.get(operation.type) or control.OPERATORS[operation.type]
        fixed: dict[str, Any] = {}
        taken: list[tuple[str, Kind, tuple[str, ...]]] = []
        for parameter, kind in kinds(operation, function).items():
            arguments = operation.inputs[parameter]
            if kind in ("value", "values") and not any(self._runs(a, known) for a in arguments):
                values = [self._python(a, operation) for a in arguments]
                fixed[parameter] = python_value(values[0] if len(values) == 1 else values, kind)
            else:
                names = tuple(self._name(a, known, operation) for a in arguments)
                taken.append((parameter, kind, names))
        blocks = tuple(self.plan(block, known) for block in operation.blocks)
        return Step(operation, function, fixed, tuple(taken), blocks)

    def _runs(self, argument: Argument, known: set[str]) -> bool:
        """Is it only known in a run?"""
        return isinstance(argument, str) and argument in known

    def _python(self, argument: Argument, operation: Operation) -> Any:
        if isinstance(argument, str):
            if argument in self._tensors and argument not in self._raw:
                return self._tensors[argument].tolist()
            self._check(argument, set(), f"operator {operation.type} '{operation.name}'")
            argument = self._raw[argument]
        return argument.tolist() if isinstance(argument, np.ndarray) else list(argument)

    def _name(self, argument: Argument, known: set[str], operation: Operation) -> str:
        """The name under which `values` holds it."""
        if not isinstance(argument, str):  # a value in place
            self._raw[name := f"{operation.name} {len(self._raw)}"] = argument
            argument = name
        self._check(argument, known, f"operator {operation.type} '{operation.name}'")
        return argument

    def _check(self, name: str, known: set[str], by: str) -> None:
        """Make sure that `name` is computed before it is used; constants become tensors.

        Raises:
            InvalidArtifact: Nothing of that name exists at that point.
        """
        if name in known or name in self._tensors:
            return
        if name not in self._raw:
            raise InvalidArtifact(f"{by} uses '{name}', which is not there")
        value = self._raw[name]
        if isinstance(value, np.ndarray) and value.dtype.kind != "U":
            self._tensors[name] = _tensor(value)


def _tensor(value: np.ndarray[Any, Any]) -> Tensor:
    if value.dtype.kind == "f":
        return torch.from_numpy(value.astype(np.float32))
    if value.dtype.kind == "u" and value.itemsize > 1:
        return torch.from_numpy(value.astype(np.int64))
    return torch.from_numpy(np.array(value))


def _with_frees(steps: list[Step], keep: set[str]) -> tuple[Step, ...]:
    """Each step with the names that nothing after it reads."""
    read = set(keep)
    done = []
    for step in reversed(steps):
        names = step.reads() | {variable.name for variable in step.operation.outputs}
        done.append(replace(step, frees=tuple(sorted(names - read))))
        read |= names
    return tuple(reversed(done))
