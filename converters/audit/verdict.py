"""What the audit of a fresh conversion must say: else the file is wrong, and refused.

A program says by itself what is integer in it. Its graph is asked the same
questions as the file (`program_network`), and the two answers are compared.
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


def check(job: Job, path: Path, calibration: Mapping[str, Any]) -> Audit:
    """The audit of a fresh file, compared with the job that it was made from.

    Raises:
        ConversionFailed: All that disagrees, and what to do.
    """
    audit, stored = examine(path)
    faults = [*_ends(job, audit), *_scales(audit), *_batch_norms(audit)]
    if job.int8 and isinstance(job.network, fx.GraphModule):
        faults += integers(job.network, audit, calibration)
        faults += differences(job.network, stored)
    elif job.metadata.precision == "fp16":
        faults += _halves(audit)
    if faults:
        raise ConversionFailed(f"{audit.file} is not what was asked: {'; '.join(faults)}.")
    return audit


def integers(graph: fx.GraphModule, audit: Audit, calibration: Mapping[str, Any]) -> list[str]:
    """What an INT8 file has in float and its program does not."""
    meant = network(graph)
    expected, total = _integer_products(meant), multiply_adds(meant).total
    found = _plain(audit.multiply_adds.by_types)
    faults = [
        f"{found[kinds] / 1e6:.1f} M of its multiply-adds are {kinds}, {count / 1e6:.1f} M in "
        "its program"
        for kinds, count in expected.items()
        if found[kinds] < count * (1 - TOLERANCE)
    ]
    share = expected["int8 x int8"] / total if total else 0.0
    named = [*calibration.get("exclude", ()), *calibration.get("float_operators", ())]
    if calibration.get("scheme", "").startswith("w8a8") and share < LEAST_SHARE and not named:
        faults.append(
            f"only {100 * share:.1f} % of the multiply-adds of its program are in INT8 and it "
            f"names no exclusions, {100 * LEAST_SHARE:.0f} % are expected. Calibrate again"
        )
    allowed = sum(not w.is_integer for w in weights(meant))
    left = [t.name for t in audit.tensors if t.kind == "weight" and t.is_float]
    if len(left) > allowed:
        faults.append(
            f"{len(left)} weight tensors are float, {allowed} in its program: {_some(left)}"
        )
    return faults


def _integer_products(meant: Network) -> Counter[str]:
    """Multiply-adds of integers with weights; two activations may be multiplied in float."""
    found: Counter[str] = Counter()
    for op in meant.operators:
        kinds = [meant.meant(name) for name in op.operands]
        if kinds and kinds[1].constant and all(kind.is_integer for kind in kinds):
            found[" x ".join(kind.dtype for kind in kinds)] += op.multiply_adds
    return found


def _plain(by_types: Mapping[str, int]) -> Counter[str]:
    """uint8 or int8 is the runtime's choice."""
    found: Counter[str] = Counter()
    for kinds, count in by_types.items():
        found[kinds.replace("uint", "int")] += count
    return found


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
    left = [norm.name for norm in audit.batch_norms if norm.foldable]
    return [f"{len(left)} batch norms are left behind a product: {_some(left)}"] if left else []


def _ends(job: Job, audit: Audit) -> list[str]:
    """Names and shapes of inputs and outputs that are not the spec's."""
    size = job.metadata.spec.input
    shapes = ((1, size.height, size.width, 3), (1, 3, size.height, size.width))
    faults = []
    given = [(tensor.name, tensor.shape) for tensor in audit.inputs]
    if [name for name, _ in given] != [INPUT] or given[0][1] not in shapes:
        faults.append(f"its inputs are {_named(given)}, its spec asks for {INPUT} {_by(shapes[0])}")
    made = [(tensor.name, tensor.shape) for tensor in audit.outputs]
    expected = list(zip(job.names, _output_shapes(job), strict=True))
    if made != expected:
        faults.append(f"its outputs are {_named(made)}, its spec asks for {_named(expected)}")
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
