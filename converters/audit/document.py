"""What the audit says of a Network: one JSON document, the same keys for every format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgeskin.converters.audit.scales import oddities, reach, span
from edgeskin.converters.audit.sizes import sizes
from edgeskin.converters.audit.transposes import avoidable_transposes
from edgeskin.formats.network import Network, Operator, Placement, Tensor

_PAIRS = ("quantize", "dequantize")
_COUNTED = ("count", "integer", "float", "multiply_adds", "bytes")


def document(network: Network, placement: Placement) -> dict[str, Any]:
    """Operators, types, scales, and what is left over or off the fast path."""
    return {
        "inputs": [_end(network.tensors[name]) for name in network.inputs],
        "outputs": [_end(network.tensors[name]) for name in network.outputs],
        "operators": operators(network),
        "multiply_adds": multiply_adds(network),
        "weights": _by_type(weights(network)),
        "activations": dict(Counter(tensor.dtype for tensor in activations(network))),
        "scales": {
            "weights": span(weights(network)),
            "activations": span(activations(network)),
            "oddities": oddities(network, weights(network), activations(network)),
        },
        "float16": reach(activations(network)),
        "batch_norms": batch_norms(network),
        "transposes": transposes(network, placement.graph or network),
        "float_between_integers": [
            {"type": op.type, "name": op.name} for op in float_between(network)
        ],
        "fast_path": {
            "runtime": placement.runtime,
            "partitions": placement.partitions,
            "providers": dict(placement.providers),
            "off": [vars(off) for off in placement.off],
        },
        "sizes": sizes(network),
        "images": [dict(image) for image in network.facts.images],
        "deployment": dict(network.facts.deployment),
        "file_metadata": dict(network.facts.metadata),
        "beside": list(network.facts.beside),
        "tensors": [_whole(tensor, "weight") for tensor in weights(network)]
        + [_whole(tensor, "activation") for tensor in activations(network)],
    }


def operators(network: Network) -> list[dict[str, Any]]:
    """Each type with its number, how many compute in integers, multiply-adds and bytes."""
    stored = {layer["name"]: layer["bytes"] for layer in sizes(network)["layers"]}
    found: dict[str, dict[str, Any]] = {}
    for op in network.operators:
        row = found.setdefault(
            op.type,
            {"type": op.type, **dict.fromkeys(_COUNTED, 0)},
        )
        row["count"] += 1
        row["multiply_adds"] += op.multiply_adds
        row["bytes"] += stored.pop(op.name, 0)
        if op.role not in _PAIRS:
            row["integer" if network.is_integer(op) else "float"] += 1
    return list(found.values())


def multiply_adds(network: Network) -> dict[str, Any]:
    """Products by the stored types that are multiplied, and the share of 8 by 8 bits.

    `uncounted` operators multiply tensors whose sizes the file does not say;
    where there are some, nobody knows the share.
    """
    found: Counter[str] = Counter()
    uncounted = 0
    for op in network.operators:
        if op.operands:
            kinds = [network.meant(name).dtype for name in op.operands]
            found[" x ".join(kinds)] += op.multiply_adds
            uncounted += op.multiply_adds == 0
    total = sum(found.values())
    eight = sum(n for kinds, n in found.items() if set(kinds.split(" x ")) <= {"int8", "uint8"})
    return {
        "total": total,
        "uncounted": uncounted,
        "int8_share": eight / total if total and not uncounted else None,
        "by_types": dict(found.most_common()),
    }


def weights(network: Network) -> list[Tensor]:
    """The constants that activations are multiplied with, as they are stored."""
    stored = [network.stored(name) for op in network.operators for name in op.operands]
    return list({tensor.name: tensor for tensor in stored if tensor.constant}.values())


def activations(network: Network) -> list[Tensor]:
    """The inputs, and what operators give; of a QDQ pair, the integers between the two."""
    made = [
        name
        for op in network.operators
        for name in op.outputs
        if not (network.qdq and op.role == "dequantize")
        and not network.settles(name)
        and not network.stored(name).constant
    ]
    return [network.tensors[name] for name in (*network.inputs, *made)]


def transposes(written: Network, run: Network) -> dict[str, Any]:
    """How many the file has and the runtime runs, and which of these need not be there."""
    count, runs = (sum(op.role == "transpose" for op in n.operators) for n in (written, run))
    return {"in_file": count, "run": runs, "avoidable": avoidable_transposes(run)}


def batch_norms(network: Network) -> list[dict[str, Any]]:
    """Operators called so, and a factor and an offset for each channel right behind a product.

    `foldable` ones stand right behind a product, whose weights they should be in.
    """
    found = []
    for op in network.operators:
        foldable = _behind_product(op, network)
        if op.role == "batch_norm" or (foldable and _is_factor_and_offset(op, network)):
            found.append({"name": op.name, "foldable": foldable})
    return found


def _behind_product(op: Operator, network: Network) -> bool:
    return any(network.producer[n].role == "multiply" for n in op.inputs if n in network.producer)


def _is_factor_and_offset(op: Operator, network: Network) -> bool:
    readers = network.consumers.get(op.outputs[0], []) if op.outputs else []
    return (
        op.type.lower() == "mul"
        and _by_channel(op, network)
        and any(r.type.lower() in ("add", "sub") and _by_channel(r, network) for r in readers)
    )


def _by_channel(op: Operator, network: Network) -> bool:
    stored = [network.stored(name) for name in op.inputs]
    return any(t.constant and t.values == max(t.shape, default=0) > 1 for t in stored)


def float_between(network: Network) -> list[Operator]:
    """Operators that compute in float with integer ones before and behind them."""
    integer = {op.name for op in network.operators if network.is_integer(op)}
    after, before = set[str](), set[str]()  # tensors on the way from, and to, integers
    for op in network.operators:
        if op.name in integer or not after.isdisjoint(op.inputs):
            after.update(op.outputs)
    for op in reversed(network.operators):
        if op.name in integer or not before.isdisjoint(op.outputs):
            before.update(op.inputs)
    return [
        op
        for op in network.operators
        if op.name not in integer
        and op.role not in ("move", "transpose", *_PAIRS)
        and not after.isdisjoint(op.inputs)
        and not before.isdisjoint(op.outputs)
    ]


def summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document in a few lines, for a manifest: counts where it has lists."""
    path, scales = document["fast_path"], document["scales"]
    kept = ("multiply_adds", "weights", "activations", "deployment", "inputs", "outputs")
    return {
        **{key: document[key] for key in kept},
        "operators": {row["type"]: row["count"] for row in document["operators"]},
        "scales": {**scales, "oddities": _counts(scales["oddities"], "kind")},
        "float16": {k: v for k, v in document["float16"].items() if k != "layers"},
        "batch_norms": len(document["batch_norms"]),
        "transposes": {
            **document["transposes"],
            "avoidable": len(document["transposes"]["avoidable"]),
        },
        "float_between_integers": _counts(document["float_between_integers"], "type"),
        "fast_path": {**path, "off": _counts(path["off"], "type")},
        "constant_bytes": document["sizes"]["constants"],
    }


def _counts(entries: Sequence[Mapping[str, Any]], key: str) -> dict[str, int]:
    return dict(Counter(str(entry[key]) for entry in entries))


def _end(tensor: Tensor) -> dict[str, Any]:
    return {key: value for key, value in _whole(tensor, "").items() if key != "kind"}


def _whole(tensor: Tensor, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": tensor.name,
        "kind": kind,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
    }
    if tensor.quantization:
        found |= {
            "scale": list(tensor.quantization.scale),
            "zero_point": list(tensor.quantization.zero_point),
            "axis": tensor.quantization.axis,
        }
    return found


def _by_type(tensors: Sequence[Tensor]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for tensor in tensors:
        row = found.setdefault(tensor.dtype, {"tensors": 0, "values": 0})
        row["tensors"] += 1
        row["values"] += tensor.values
    return found
