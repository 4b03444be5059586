"""A model as its makers left it: what every reader of this package returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

SourceLayout = Literal["NCHW", "NHWC"]
LEAST_DB, LEAST_FLOAT16_DB, LEAST_QUANTIZED_DB = 90.0, 60.0, 20.0
"""Measured beside ONNX Runtime: at least 99 dB, 73 dB, and 29 dB; a fault leaves 20 at most."""


@dataclass(frozen=True)
class SourceTensor:
    """An input or an output: its name in the source, and its shape, batch of one included."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One operator's value as the source's own runtime and as `SourceModel.network` compute it."""

    operator: str
    """Its type and its name, as its file calls them: `Conv 'stem/conv1'`."""
    theirs: NDArray[Any]
    ours: NDArray[Any]


@dataclass(frozen=True)
class Hints:
    """What a source says of its images and labels, where it says anything; None where not.

    `mean` and `std` are on the scale of 0 to 1 (`InputSpec`). `notes` are lines for a person.
    """

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceModel:
    """A network with one image input, beside the source itself on its own runtime.

    Attributes:
        name: What to call it: the file's stem, or the network's name.
        network: In eval mode, to be exported by `torch.export`: float32 of `input.shape`, in
            the source's own layout and units, to a tuple of the tensors of `outputs`. It holds
            `quantized_decomposed` steps where the source is quantized.
        input: The image, of a fixed size, with 1 or 3 channels.
        layout: Of `input`.
        outputs: In the source's order.
        runtime: What `answer` runs on, with its version.
        answer: The source itself: what `network` takes, as an array, to what it returns.
        steps: Each operator of the source in order, for one such array; None where the
            source shows only its outputs.
        hints: What it says of preprocessing and labels.
        quantized: Whether it holds scales that are to be kept.
        least_db: What an import of it must reach, SQNR in dB of its worst output. Two runtimes
            of one float32 network agree to 100 and more; float16 is rounded by one of them
            only, and of integers some are rounded to the other side.
    """

    name: str
    network: nn.Module
    input: SourceTensor
    layout: SourceLayout
    outputs: tuple[SourceTensor, ...]
    runtime: str
    answer: Callable[[NDArray[Any]], tuple[NDArray[Any], ...]]
    steps: Callable[[NDArray[Any]], Iterator[Step]] | None = None
    hints: Hints = field(default_factory=Hints)
    quantized: bool = False
    least_db: float = LEAST_DB
