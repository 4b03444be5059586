"""What the audit says of a model file: one document, the same fields for every format.

Sizes are in bytes, products in multiply-adds of one inference; a tensor's size of -1 is
known only at run time.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from edgeskin.document import Document


class TensorRow(Document):
    """A weight, an activation, or (`kind` is left out) an end of the model.

    `scale` and `zero_point` hold one value, or one for each channel along `axis`:
    real = scale * (q - zero_point).
    """

    name: str
    kind: Literal["weight", "activation"] | None = None
    dtype: str
    shape: tuple[int, ...]
    scale: tuple[float, ...] | None = None
    zero_point: tuple[int, ...] | None = None
    axis: int | None = None

    @property
    def is_float(self) -> bool:
        return "float" in self.dtype


class OperatorRow(Document):
    """All operators of a type: how many, and how many of them compute in integers or in float."""

    type: str
    count: int
    integer: int
    float: int
    multiply_adds: int
    bytes: int


class MultiplyAdds(Document):
    """Products of one inference, and the share of those of 8 by 8 bits.

    `uncounted` operators multiply tensors whose sizes the file does not say; where
    there are some, nobody knows the share. `by_types` as in "int8 x int8".
    """

    total: int
    uncounted: int
    int8_share: float | None
    by_types: dict[str, int]


class WeightTypes(Document):
    """Weights of one stored type: tensors, and the values in them."""

    tensors: int
    values: int


class ScaleSpan(Document):
    """How many tensors have scales, and the smallest and largest of these."""

    tensors: int
    smallest: float | None
    largest: float | None


class Oddity(Document):
    """A doubtful tensor: `broken` and `unequal` cannot be right, the others lose precision."""

    tensor: str
    why: str
    kind: Literal["broken", "unequal", "one scale", "float16"]


class Scales(Document):
    """Quantization scales of weights and activations."""

    weights: ScaleSpan
    activations: ScaleSpan
    oddities: tuple[Oddity, ...]


class LayerReach(Document):
    """The largest absolute value of a layer's output."""

    name: str
    type: str
    largest: float


class Float16Reach(Document):
    """How near values come to the end of float16, by the scales or by images that were run.

    `by` is None where nothing was measured. `headroom` is `limit` over `largest`,
    `beyond` the number of tensors past the limit; `layers` begin with the largest.
    """

    by: Literal["scales", "images"] | None
    run: str | None = None
    images: int | None = None
    limit: float | None = None
    largest: float | None = None
    headroom: float | None = None
    beyond: int | None = None
    layers: tuple[LayerReach, ...] | None = None


class BatchNorm(Document):
    """A batch norm that is left; a `foldable` one stands right behind a product."""

    name: str
    foldable: bool


class Transpose(Document):
    """A transpose that need not be there."""

    name: str
    permutation: tuple[int, ...]
    why: str


class Transposes(Document):
    """How many the file has, how many its runtime runs, and which of these are avoidable."""

    in_file: int
    run: int
    avoidable: tuple[Transpose, ...]


class OperatorName(Document):
    """One operator."""

    type: str
    name: str


class OffOperator(OperatorName):
    """An operator that the runtime does not run on its fast path."""

    why: str


class FastPath(Document):
    """What a runtime makes of the file: partitions and operators by provider, where it tells."""

    runtime: str
    partitions: int | None
    providers: dict[str, int]
    off: tuple[OffOperator, ...]


class LayerSize(OperatorName):
    """Bytes of a layer's constants."""

    bytes: int


class Sizes(Document):
    """Bytes of all constants; `other` ones are scales, shapes and what nothing uses."""

    constants: int
    other: int
    layers: tuple[LayerSize, ...]


class ImageInput(Document):
    """What somebody says of the pixels of an input; the rest is in that one's own words."""

    model_config = ConfigDict(extra="allow")

    input: str
    said_by: str


class EdgeskinMetadata(Document):
    """What edgeskin stored in the file; `missing` says why there is none."""

    missing: str | None = None
    name: str | None = None
    io: str | None = None
    precision: str | None = None
    edgeskin_version: str | None = None
    license: str | None = None


class Audit(Document):
    """A model file: its operators, types and scales, and what is left over or off the fast path.

    Attributes:
        weights: By stored type.
        activations: How many tensors, by type.
        float_between_integers: Operators in float with integer ones before and behind them.
        deployment: Versions of the format, and what they ask for; each format's own words.
        file_metadata: The file's own entries.
        beside: What the file holds beside the network that is examined, in words.
        tensors: All weights, then all activations.
    """

    version: int = 1
    file: str
    format: str
    size_bytes: int
    metadata: EdgeskinMetadata
    inputs: tuple[TensorRow, ...]
    outputs: tuple[TensorRow, ...]
    operators: tuple[OperatorRow, ...]
    multiply_adds: MultiplyAdds
    weights: dict[str, WeightTypes]
    activations: dict[str, int]
    scales: Scales
    float16: Float16Reach
    batch_norms: tuple[BatchNorm, ...]
    transposes: Transposes
    float_between_integers: tuple[OperatorName, ...]
    fast_path: FastPath
    sizes: Sizes
    images: tuple[ImageInput, ...]
    deployment: dict[str, Any]
    file_metadata: dict[str, str]
    beside: tuple[str, ...]
    tensors: tuple[TensorRow, ...]


class ScalesSummary(Document):
    """As `Scales`, oddities counted by kind."""

    weights: ScaleSpan
    activations: ScaleSpan
    oddities: dict[str, int]


class TransposesSummary(Document):
    """As `Transposes`, counted."""

    in_file: int
    run: int
    avoidable: int


class FastPathSummary(Document):
    """As `FastPath`, operators that are off it counted by type."""

    runtime: str
    partitions: int | None
    providers: dict[str, int]
    off: dict[str, int]


class AuditSummary(Document):
    """The audit in a few lines, for a manifest: counts where it has lists."""

    multiply_adds: MultiplyAdds
    weights: dict[str, WeightTypes]
    activations: dict[str, int]
    deployment: dict[str, Any]
    inputs: tuple[TensorRow, ...]
    outputs: tuple[TensorRow, ...]
    operators: dict[str, int]
    scales: ScalesSummary
    float16: Float16Reach
    batch_norms: int
    transposes: TransposesSummary
    float_between_integers: dict[str, int]
    fast_path: FastPathSummary
    constant_bytes: int
