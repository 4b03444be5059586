"""What the audit of a fresh conversion must say: else the file is wrong, and refused.

A program says by itself what is integer in it. Its graph is asked the same
questions as the file (`torch_graph`), and the two answers are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx

from edgeskin.converters.audit.document import multiply_adds, weights
from edgeskin.converters.audit.examine import audit
from edgeskin.converters.audit.program_network import network
from edgeskin.converters.audit.stored import differences
from edgeskin.converters.model import INPUT, Job
from edgeskin.errors import ConversionFailed
from edgeskin.formats import read_network
from edgeskin.formats.network import Network

LEAST_SHARE = 0.95
"""Of the multiply-adds of a program for speed: less in INT8 needs named exclusions."""
TOLERANCE = 0.05
"""Of the program's integer multiply-adds: so many may be missing, where a converter folds some."""
_BROKEN_SCALES = ("broken", "unequal")
_LISTED = 3


def check(job: Job, path: Path, calibration: Mapping[str, Any]) -> dict[str, Any]:
    """The audit of a fresh file, compared with the job that it was made from.

    Raises:
        ConversionFailed: All that disagrees, and what to do.
    """
    document = audit(path)
    faults = [*_ends(job, document), *_scales(document), *_batch_norms(document)]
    if job.int8 and isinstance(job.network, fx.GraphModule):
        faults += integers(job.network, document, calibration)
        faults += differences(job.network, read_network(path))
    elif job.metadata.precision == "fp16":
        faults += _halves(document)
    if faults:
        raise ConversionFailed(f"{document['file']} is not what was asked: {'; '.join(faults)}.")
    return document


def integers(
    graph: fx.GraphModule, document: Mapping[str, Any], calibration: Mapping[str, Any]
) -> list[str]:
    """What an INT8 file has in float and its program does not."""
    meant = network(graph)
    expected, total = _integer_products(meant), multiply_adds(meant)["total"]
    found = _plain(document["multiply_adds"]["by_types"])
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
    left = [t["name"] for t in document["tensors"] if t["kind"] == "weight" and _is_float(t)]
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


def _is_float(tensor: Mapping[str, Any]) -> bool:
    return "float" in tensor["dtype"]


def _halves(document: Mapping[str, Any]) -> list[str]:
    """Weights of a float16 file that are not."""
    values = {kind: row["values"] for kind, row in document["weights"].items()}
    share = values.get("float16", 0) / max(1, sum(values.values()))
    if not values or share >= LEAST_SHARE:
        return []
    return [f"{100 * share:.1f} % of its weights are float16, {100 * LEAST_SHARE:.0f} % expected"]


def _scales(document: Mapping[str, Any]) -> list[str]:
    odd = [o for o in document["scales"]["oddities"] if o["kind"] in _BROKEN_SCALES]
    return [f"'{o['tensor']}': {o['why']}" for o in odd[:_LISTED]]


def _batch_norms(document: Mapping[str, Any]) -> list[str]:
    left = [entry["name"] for entry in document["batch_norms"] if entry["foldable"]]
    return [f"{len(left)} batch norms are left behind a product: {_some(left)}"] if left else []


def _ends(job: Job, document: Mapping[str, Any]) -> list[str]:
    """Names and shapes of inputs and outputs that are not the spec's."""
    size = job.metadata.spec.input
    shapes = ([1, size.height, size.width, 3], [1, 3, size.height, size.width])
    faults = []
    given = [(tensor["name"], tensor["shape"]) for tensor in document["inputs"]]
    if [name for name, _ in given] != [INPUT] or given[0][1] not in shapes:
        faults.append(f"its inputs are {_named(given)}, its spec asks for {INPUT} {_by(shapes[0])}")
    made = [(tensor["name"], tensor["shape"]) for tensor in document["outputs"]]
    expected = list(zip(job.names, _output_shapes(job), strict=True))
    if made != expected:
        faults.append(f"its outputs are {_named(made)}, its spec asks for {_named(expected)}")
    return faults


def _output_shapes(job: Job) -> list[list[int]]:
    """What the torch module gives for its own input.

    It is run as anybody runs it: under FakeTensorMode a network that caches
    tensors (timm's attention biases) would keep fake ones.
    """
    with torch.no_grad():
        return [list(out.shape) for out in job.module("NCHW")(job.example("NCHW"))]


def _named(ends: Sequence[tuple[str, Sequence[int]]]) -> str:
    return ", ".join(f"{name} {_by(shape)}" for name, shape in ends) or "none"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
