"""A model file's network, described: see `model_audit.Audit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edgeskin.artifacts import Metadata
from edgeskin.converters.audit.scales import oddities, reach, span
from edgeskin.converters.audit.sizes import sizes
from edgeskin.converters.audit.transposes import avoidable_transposes
from edgeskin.files import size_bytes
from edgeskin.formats import Format
from edgeskin.formats.model_audit import (
    Audit,
    AuditSummary,
    BatchNorm,
    EdgeskinMetadata,
    FastPath,
    FastPathSummary,
    ImageInput,
    MultiplyAdds,
    OffOperator,
    OperatorName,
    OperatorRow,
    Scales,
    ScalesSummary,
    TensorRow,
    Transposes,
    TransposesSummary,
    WeightTypes,
)
from edgeskin.formats.network import Network, Operator, Placement, Tensor

_PAIRS = ("quantize", "dequantize")
_COUNTED = ("count", "integer", "float", "multiply_adds", "bytes")


def describe(
    path: Path,
    file_type: Format,
    metadata: Metadata | str,
    network: Network,
    placement: Placement,
) -> Audit:
    """The audit of `path`, which was read as `network`.

    Args:
        metadata: Of edgeskin, or why there is none.
    """
    constants, values = weights(network), activations(network)
    return Audit(
        file=path.name,
        format=file_type.title,
        size_bytes=size_bytes(path),
        metadata=_metadata(metadata),
        inputs=tuple(_row(network.tensors[name]) for name in network.inputs),
        outputs=tuple(_row(network.tensors[name]) for name in network.outputs),
        operators=operators(network),
        multiply_adds=multiply_adds(network),
        weights=_by_type(constants),
        activations=dict(Counter(tensor.dtype for tensor in values)),
        scales=Scales(
            weights=span(constants),
            activations=span(values),
            oddities=oddities(network, constants, values),
        ),
        float16=reach(values),
        batch_norms=batch_norms(network),
        transposes=transposes(network, placement.graph or network),
        float_between_integers=tuple(
            OperatorName(type=op.type, name=op.name) for op in float_between(network)
        ),
        fast_path=_fast_path(placement),
        sizes=sizes(network),
        images=_images(network, metadata),
        deployment=dict(network.facts.deployment),
        file_metadata=dict(network.facts.metadata),
        beside=network.facts.beside,
        tensors=(
            *(_row(tensor, "weight") for tensor in constants),
            *(_row(tensor, "activation") for tensor in values),
        ),
    )


def operators(network: Network) -> tuple[OperatorRow, ...]:
    """Each type with its number, how many compute in integers, multiply-adds and bytes."""
    stored = {layer.name: layer.bytes for layer in sizes(network).layers}
    by_type: dict[str, Counter[str]] = {}
    for op in network.operators:
        row = by_type.setdefault(op.type, Counter(dict.fromkeys(_COUNTED, 0)))
        row["count"] += 1
        row["multiply_adds"] += op.multiply_adds
        row["bytes"] += stored.pop(op.name, 0)
        if op.role not in _PAIRS:
            row["integer" if network.is_integer(op) else "float"] += 1
    return tuple(OperatorRow(type=name, **row) for name, row in by_type.items())


def multiply_adds(network: Network) -> MultiplyAdds:
    """Products by the stored types that are multiplied."""
    by_types: Counter[str] = Counter()
    uncounted = 0
    for op in network.operators:
        if op.operands:
            kinds = [network.effective_tensor(name).dtype for name in op.operands]
            by_types[" x ".join(kinds)] += op.multiply_adds
            uncounted += op.multiply_adds == 0
    total = sum(by_types.values())
    eight = sum(n for kinds, n in by_types.items() if set(kinds.split(" x ")) <= {"int8", "uint8"})
    return MultiplyAdds(
        total=total,
        uncounted=uncounted,
        int8_share=eight / total if total and not uncounted else None,
        by_types=dict(by_types.most_common()),
    )


def weights(network: Network) -> list[Tensor]:
    """The constants that activations are multiplied with, as they are stored."""
    stored = [network.stored(name) for op in network.operators for name in op.operands]
    return list({tensor.name: tensor for tensor in stored if tensor.constant}.values())


def activations(network: Network) -> list[Tensor]:
    """The inputs, and what operators give; of a QDQ pair, the integers between the two."""
    computed = [
        name
        for op in network.operators
        for name in op.outputs
        if not (network.qdq and op.role == "dequantize")
        and not network.is_only_quantized(name)
        and not network.stored(name).constant
    ]
    return [network.tensors[name] for name in (*network.inputs, *computed)]


def transposes(written: Network, run: Network) -> Transposes:
    """How many the file has and the runtime runs, and which of these need not be there."""
    count, runs = (sum(op.role == "transpose" for op in n.operators) for n in (written, run))
    return Transposes(in_file=count, run=runs, avoidable=avoidable_transposes(run))


def batch_norms(network: Network) -> tuple[BatchNorm, ...]:
    """Operators called so, and a factor and an offset for each channel right behind a product.

    `foldable` ones stand right behind a product, whose weights they should be in.
    """
    norms = []
    for op in network.operators:
        foldable = _behind_product(op, network)
        if op.role == "batch_norm" or (foldable and _is_factor_and_offset(op, network)):
            norms.append(BatchNorm(name=op.name, foldable=foldable))
    return tuple(norms)


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


def summary(audit: Audit) -> AuditSummary:
    """The audit in a few lines, for a manifest."""
    path, scales, turned = audit.fast_path, audit.scales, audit.transposes
    return AuditSummary(
        multiply_adds=audit.multiply_adds,
        weights=audit.weights,
        activations=audit.activations,
        deployment=audit.deployment,
        inputs=audit.inputs,
        outputs=audit.outputs,
        operators={row.type: row.count for row in audit.operators},
        scales=ScalesSummary(
            weights=scales.weights,
            activations=scales.activations,
            oddities=dict(Counter(oddity.kind for oddity in scales.oddities)),
        ),
        float16=audit.float16.model_copy(update={"layers": None}),
        batch_norms=len(audit.batch_norms),
        transposes=TransposesSummary(
            in_file=turned.in_file, run=turned.run, avoidable=len(turned.avoidable)
        ),
        float_between_integers=dict(Counter(op.type for op in audit.float_between_integers)),
        fast_path=FastPathSummary(
            runtime=path.runtime,
            partitions=path.partitions,
            providers=path.providers,
            off=dict(Counter(op.type for op in path.off)),
        ),
        constant_bytes=audit.sizes.constants,
    )


def _row(tensor: Tensor, kind: Literal["weight", "activation"] | None = None) -> TensorRow:
    quantization = tensor.quantization
    return TensorRow(
        name=tensor.name,
        kind=kind,
        dtype=tensor.dtype,
        shape=tensor.shape,
        scale=quantization.scale if quantization else None,
        zero_point=quantization.zero_point if quantization else None,
        axis=quantization.axis if quantization else None,
    )


def _by_type(tensors: Sequence[Tensor]) -> dict[str, WeightTypes]:
    count, values = Counter[str](), Counter[str]()
    for tensor in tensors:
        count[tensor.dtype] += 1
        values[tensor.dtype] += tensor.values
    return {dtype: WeightTypes(tensors=count[dtype], values=values[dtype]) for dtype in count}


def _fast_path(placement: Placement) -> FastPath:
    return FastPath(
        runtime=placement.runtime,
        partitions=placement.partitions,
        providers=dict(placement.providers),
        off=tuple(OffOperator(type=off.type, name=off.name, why=off.why) for off in placement.off),
    )


def _metadata(metadata: Metadata | str) -> EdgeskinMetadata:
    if isinstance(metadata, str):
        return EdgeskinMetadata(missing=metadata)
    return EdgeskinMetadata(
        name=metadata.spec.name,
        io=metadata.io,
        precision=metadata.precision,
        edgeskin_version=metadata.edgeskin_version,
        license=metadata.spec.license,
    )


def _images(network: Network, metadata: Metadata | str) -> tuple[ImageInput, ...]:
    """What the file says of its pixels, and what edgeskin's spec inside says.

    Mean and std of the spec are for values of 0 to 1.
    """
    images = [ImageInput(**image) for image in network.facts.images]
    if not isinstance(metadata, str):
        spec = metadata.spec.input.model_dump(mode="json")
        images.append(ImageInput(input=network.inputs[0], said_by="edgeskin", **spec))
    return tuple(images)
