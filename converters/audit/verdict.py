"""Checks of a fresh conversion by its audit: a file that fails one is refused.

A program shows what is integer in it. Its graph is asked the same questions as
the file (`program_network`), and the two answers are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx

from edgeskin.converters.audit.describe import multiply_adds, weights
from edgeskin.converters.audit.examine import examine
from edgeskin.converters.audit.program_network import network
from edgeskin.converters.audit.stored import differences
from edgeskin.converters.model import INPUT, Job
from edgeskin.errors import ConversionFailed
from edgeskin.formats.model_audit import Audit
from edgeskin.formats.network import Network

LEAST_SHARE = 0.95
"""Of the multiply-adds of a program for speed: less in INT8 needs named exclusions."""
TOLERANCE = 0.05
"""Of the program's integer multiply-adds: so many may be missing, where a converter folds some."""
_BROKEN_SCALES = ("broken", "unequal")
_LISTED = 3


def check(job: Job, path: Path, calibration: Mapping[str, Any], made: Job | None = None) -> Audit:
    """The audit of a fresh file, compared with the job that it was made from.

    Args:
        made: The job as its format prepared it, which says what is integer in the file.

    Raises:
        ConversionFailed: All that disagrees, and what to do.
    """
    audit, stored = examine(path)
    faults = [*_ends(job, audit), *_scales(audit), *_batch_norms(audit)]
    if job.int8 and isinstance(job.network, fx.GraphModule):
        graph = (made or job).network
        assert isinstance(graph, fx.GraphModule)  # preparing makes no other
        faults += [*_share(job.network, calibration), *integers(graph, audit)]
        faults += differences(graph, stored)
    elif job.metadata.precision == "fp16":
        faults += _halves(audit)
    if faults:
        raise ConversionFailed(f"{audit.file} is not what was asked: {'; '.join(faults)}.")
    return audit


def _share(graph: fx.GraphModule, calibration: Mapping[str, Any]) -> list[str]:
    """A program for speed that has less in integers than it should, and does not say why."""
    program = network(graph)
    expected, total = _integer_products(program), multiply_adds(program).total
    share = expected["int8 x int8"] / total if total else 0.0
    named = [*calibration.get("exclude", ()), *calibration.get("float_operators", ())]
    if not calibration.get("scheme", "").startswith("w8a8") or share >= LEAST_SHARE or named:
        return []
    return [
        f"only {100 * share:.1f} % of the multiply-adds of its program are in INT8 and it "
        f"names no exclusions, {100 * LEAST_SHARE:.0f} % are expected. Calibrate again"
    ]


def integers(graph: fx.GraphModule, audit: Audit) -> list[str]:
    """What an INT8 file has in float and its program does not."""
    program = network(graph)
    expected = _integer_products(program)
    in_file = _signed(audit.multiply_adds.by_types)
    faults = [
        f"{in_file[kinds] / 1e6:.1f} M of its multiply-adds are {kinds}, {count / 1e6:.1f} M in "
        "its program"
        for kinds, count in expected.items()
        if in_file[kinds] < count * (1 - TOLERANCE)
    ]
    allowed = sum(not w.is_integer for w in weights(program))
    floats = [t.name for t in audit.tensors if t.kind == "weight" and t.is_float]
    if len(floats) > allowed:
        faults.append(
            f"{len(floats)} weight tensors are float, {allowed} in its program: {_some(floats)}"
        )
    return faults


def _integer_products(program: Network) -> Counter[str]:
    """Multiply-adds of integers with weights; two activations may be multiplied in float."""
    counts: Counter[str] = Counter()
    for op in program.operators:
        operands = [program.effective_tensor(name) for name in op.operands]
        if operands and operands[1].constant and all(t.is_integer for t in operands):
            counts[" x ".join(tensor.dtype for tensor in operands)] += op.multiply_adds
    return counts


def _signed(by_types: Mapping[str, int]) -> Counter[str]:
    """The counts with uint8 taken as int8: which of the two is the runtime's choice."""
    counts: Counter[str] = Counter()
    for kinds, count in by_types.items():
        counts[kinds.replace("uint", "int")] += count
    return counts


def _halves(audit: Audit) -> list[str]:
    """Weights of a float16 file that are not."""
    values = {kind: row.values for kind, row in audit.weights.items()}
    share = values.get("float16", 0) / max(1, sum(values.values()))
    if not values or share >= LEAST_SHARE:
        return []
    return [f"{100 * share:.1f} % of its weights are float16, {100 * LEAST_SHARE:.0f} % expected"]


def _scales(audit: Audit) -> list[str]:
    odd = [oddity for oddity in audit.scales.oddities if oddity.kind in _BROKEN_SCALES]
    return [f"'{oddity.tensor}': {oddity.why}" for oddity in odd[:_LISTED]]


def _batch_norms(audit: Audit) -> list[str]:
    names = [norm.name for norm in audit.batch_norms if norm.foldable]
    count = len(names)
    return [f"{count} batch norms are left behind a product: {_some(names)}"] if names else []


def _ends(job: Job, audit: Audit) -> list[str]:
    """Names and shapes of inputs and outputs that are not the spec's."""
    size = job.metadata.spec.input
    shapes = ((1, size.height, size.width, 3), (1, 3, size.height, size.width))
    faults = []
    inputs = [(tensor.name, tensor.shape) for tensor in audit.inputs]
    if [name for name, _ in inputs] != [INPUT] or inputs[0][1] not in shapes:
        faults.append(
            f"its inputs are {_named(inputs)}, its spec asks for {INPUT} {_by(shapes[0])}"
        )
    outputs = [(tensor.name, tensor.shape) for tensor in audit.outputs]
    expected = list(zip(job.names, _output_shapes(job), strict=True))
    if outputs != expected:
        faults.append(f"its outputs are {_named(outputs)}, its spec asks for {_named(expected)}")
    return faults


def _output_shapes(job: Job) -> list[tuple[int, ...]]:
    """What the torch module gives for its own input.

    It is run as anybody runs it: under FakeTensorMode a network that caches
    tensors (timm's attention biases) would keep fake ones.
    """
    with torch.no_grad():
        return [tuple(out.shape) for out in job.module("NCHW")(job.example("NCHW"))]


def _named(ends: Sequence[tuple[str, Sequence[int]]]) -> str:
    return ", ".join(f"{name} {_by(shape)}" for name, shape in ends) or "none"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
