"""`edgeskin inspect`: what is in a model file, and what its runtime makes of it."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.convert import MaxPartitions, told
from edgeskin.cli.options import Json, MaybeData, Split, Trust, takes_data

if TYPE_CHECKING:
    from edgeskin.conversion import Tried
    from edgeskin.formats.model_audit import (
        Audit,
        BatchNorm,
        FastPath,
        Float16Reach,
        ImageInput,
        MultiplyAdds,
        OperatorName,
        Scales,
        Sizes,
        TensorRow,
        Transposes,
        WeightTypes,
    )

_LARGEST = 5  # layers, by bytes or by values
_LONGEST = 48  # characters of a name
_WIDEST = 100


@takes_data
def inspect(
    artifact: Annotated[
        Path, typer.Argument(help=".tflite, .onnx, .mlpackage or .mlmodel, of any tool.")
    ],
    reference: Annotated[
        Path | None, typer.Option(help="The run it was made from: its values against float16.")
    ] = None,
    data: MaybeData = None,
    split: Split = "test",
    min_int8_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Gate: exit 1 if fewer % of the multiply-adds are in INT8."
        ),
    ] = None,
    destinations: Annotated[
        str,
        typer.Option(
            "--for",
            help="Gate: exit 1 unless their compilers take the file whole: snapdragon[:CHIP], gpu, "
            "or both, divided by commas.",
        ),
    ] = "",
    max_partitions: MaxPartitions = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Show operators, types, scales and sizes, and what is off the runtime's fast path."""
    from edgeskin.converters.audit.inspect import inspect as audit_file

    with console.progress() as progress:
        audit = audit_file(
            artifact,
            reference=reference,
            data=data,
            split=split,
            trust=trust,
            progress=progress,
        )
    missed = [] if min_int8_share is None else _too_little_int8(audit, min_int8_share)
    tried = _tried(artifact, destinations, max_partitions)
    missed += [told(artifact, name, one) for name, one in tried.items() if not one.accepted]
    if json:
        told_of = {name: one.to_json() for name, one in tried.items()}
        console.emit(audit.to_json() | {"tried": told_of, "missed_gates": missed})
    else:
        print_audit(audit)
        for name, one in tried.items():
            if one.accepted:
                print(told(artifact, name, one))
    for line in missed:
        console.error(line)
    if missed:
        raise typer.Exit(1)


def _tried(artifact: Path, destinations: str, max_partitions: int | None) -> dict[str, Tried]:
    """What each destination's compiler takes.

    Raises:
        NotSupportedHere: One cannot be asked here, so that the gate has no answer.
    """
    if not destinations:
        return {}
    from edgeskin.destinations import split_destinations
    from edgeskin.errors import NotSupportedHere
    from edgeskin.verbs import try_on

    with console.progress() as progress:
        names = split_destinations(destinations)
        tried = {
            name: try_on(artifact, name, max_partitions=max_partitions, progress=progress)
            for name in names
        }
    for name, one in tried.items():
        if one.whole is None:
            raise NotSupportedHere(told(artifact, name, one))
    return tried


def _too_little_int8(audit: Audit, gate: float) -> list[str]:
    """The line of the missed gate, with the weights that are not integers."""
    share = audit.multiply_adds.int8_share
    if share is None:
        return [f"the file does not say how much it multiplies, the gate is {gate:g} % in INT8"]
    if 100 * share >= gate:
        return []
    line = f"{100 * share:.2f} % of the multiply-adds are in INT8, the gate is {gate:g} %"
    weights = [t for t in audit.tensors if t.kind == "weight" and t.is_float]
    left = f"; {len(weights)} weights are float, first {weights[0].name}" if weights else ""
    return [line + left]


def print_audit(audit: Audit) -> None:
    """The audit for a person."""
    made = audit.metadata
    who = "not edgeskin's, or stripped"
    if made.name is not None:
        who = f"{made.name}, {made.precision}, io {made.io}"
    size = f"{audit.size_bytes / 1e6:.2f} MB"
    total = audit.multiply_adds.total
    rows = [
        (
            row.type,
            f"{row.count}",
            f"{row.integer or ''}",
            f"{row.float or ''}",
            f"{100 * row.multiply_adds / total:.1f} %" if row.multiply_adds else "",
            f"{row.bytes / 1e6:.2f}" if row.bytes else "",
        )
        for row in sorted(audit.operators, key=lambda row: -row.multiply_adds)
    ]
    title = f"{audit.file}: {audit.format}, {size}, {who}"
    columns = ("operator", "count", "integer", "float", "multiply-adds", "MB")
    console.table(title, columns, rows)
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
    for line in findings(audit):
        print(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False))


def findings(audit: Audit) -> Iterator[str]:
    """What stands below the table, a line a question."""
    path = audit.fast_path
    yield "inputs: " + "; ".join(map(_end, audit.inputs))
    yield "outputs: " + "; ".join(map(_end, audit.outputs))
    yield from map(_image, audit.images)
    yield from _asked(audit)
    yield _multiply_adds(audit.multiply_adds)
    yield "weights: " + (_weights(audit.weights) or "none")
    yield "activations: " + ", ".join(f"{n} {dtype}" for dtype, n in audit.activations.items())
    yield from _sizes(audit.sizes)
    yield from _scales(audit.scales)
    yield _float16(audit.float16)
    yield _batch_norms(audit.batch_norms)
    yield _transposes(audit.transposes)
    yield "float between integers: " + (_types(audit.float_between_integers) or "none")
    yield f"off the fast path of {path.runtime}: " + (_off(path) or "none")
    if path.partitions is not None:
        yield f"partitions: {path.partitions}"
    if path.providers:
        yield "providers: " + ", ".join(f"{n} by {name}" for name, n in path.providers.items())
    if audit.beside:
        yield "not examined: " + "; ".join(audit.beside)


def _end(tensor: TensorRow) -> str:
    shape = "x".join("?" if size == -1 else str(size) for size in tensor.shape)
    text = f"{tensor.name} {tensor.dtype} {shape}"
    if tensor.scale and tensor.zero_point:
        text += f" (scale {tensor.scale[0]:.4g}, zero point {tensor.zero_point[0]})"
    return text


def _image(image: ImageInput) -> str:
    rest = dict(image.model_extra or {})
    steps = [f"{step['type']} {step['values']}" for step in rest.pop("arithmetic", ())]
    text = ", ".join([*(f"{key} {value}" for key, value in rest.items()), *steps])
    return f"pixels of {image.input}, says {image.said_by}: {text}"


def _asked(audit: Audit) -> Iterator[str]:
    """What the file asks for, and its own entries but for edgeskin's, which are long."""
    asked = {k: v for k, v in audit.deployment.items() if k != "operator_versions"}
    needs = asked.pop("needs") or "its runtime in a version that the file does not say"
    asked |= asked.pop("opsets", {})
    yield f"needs: {needs} ({', '.join(f'{k} {v}' for k, v in asked.items()).replace('_', ' ')})"
    entries = audit.file_metadata.items()
    told = [f"{k} {v}" for k, v in entries if not k.startswith("edgeskin.") and len(v) < _WIDEST]
    if told:
        yield "metadata: " + "; ".join(told)


def _multiply_adds(adds: MultiplyAdds) -> str:
    text = f"multiply-adds: {adds.total / 1e6:.1f} M"
    if adds.int8_share is not None:
        text += f", {100 * adds.int8_share:.1f} % in INT8"
    if adds.uncounted:
        text += f", and those of {adds.uncounted} operators whose sizes the file does not say"
    return text


def _short(name: str) -> str:
    """The end of a name that is a whole path of modules, as in TFLite files."""
    return name.rpartition("/")[2][-_LONGEST:]


def _weights(by_type: dict[str, WeightTypes]) -> str:
    return ", ".join(
        f"{row.tensors} {dtype} ({row.values / 1e6:.2f} M values)" for dtype, row in by_type.items()
    )


def _sizes(sizes: Sizes) -> Iterator[str]:
    largest = [f"{o.bytes / 1e6:.2f} {_short(o.name)}" for o in sizes.layers[:_LARGEST]]
    if largest:
        yield f"constants: {sizes.constants / 1e6:.2f} MB, most in " + ", ".join(largest)


def _scales(scales: Scales) -> Iterator[str]:
    for what, span in (("weights", scales.weights), ("activations", scales.activations)):
        if span.tensors:
            yield (
                f"scales of {what}: {span.smallest:.3g} to {span.largest:.3g} "
                f"({span.tensors} tensors)"
            )
    odd: dict[str, list[str]] = {}
    for oddity in scales.oddities:
        odd.setdefault(oddity.why, []).append(oddity.tensor)
    for why, names in odd.items():
        yield f"odd: {len(names)} tensors, the first is {_short(names[0])}: {why}"


def _float16(reach: Float16Reach) -> str:
    if reach.by is None:
        return "float16: not measured; --reference RUN --data DIR runs the float model"
    worst = [
        f"{layer.largest:.4g} in {_short(layer.name)} ({layer.type})"
        for layer in (reach.layers or ())[:_LARGEST]
    ]
    by = "scales" if reach.by == "scales" else f"{reach.images} images"
    text = f"float16 ends at {reach.limit:g}; largest values by {by}: {', '.join(worst)}"
    return text + (f". {reach.beyond} tensors are beyond it" if reach.beyond else "")


def _batch_norms(left: Sequence[BatchNorm]) -> str:
    foldable = sum(norm.foldable for norm in left)
    return f"batch norms left: {len(left)}" + (
        f", {foldable} of them right behind a product" if foldable else ""
    )


def _transposes(transposes: Transposes) -> str:
    reasons = Counter(transpose.why for transpose in transposes.avoidable)
    text = "".join(f"; {n} avoidable: {why}" for why, n in reasons.items())
    return f"transposes left: {transposes.in_file} in the file, {transposes.run} run{text}"


def _types(operators: Sequence[OperatorName]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in Counter(op.type for op in operators).items())


def _off(path: FastPath) -> str:
    by_reason: dict[str, Counter[str]] = {}
    for op in path.off:
        by_reason.setdefault(op.why, Counter())[op.type] += 1
    return "; ".join(
        f"{', '.join(f'{n} {kind}' for kind, n in kinds.items())} ({why})"
        for why, kinds in by_reason.items()
    )
