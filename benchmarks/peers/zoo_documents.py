"""What the zoo knows of a network: one document each, and all of them together."""

from __future__ import annotations

from pydantic import Field

from edgeskin.benchmarks.peers.builds import Failure
from edgeskin.benchmarks.peers.setting import Machine
from edgeskin.benchmarks.peers.zoo_networks import ZooNetwork
from edgeskin.document import Document
from edgeskin.estimate import Estimate

TARGETS = ("tflite", "coreml", "onnx")
PRECISIONS = ("int8", "fp32")
STOCK = {"tflite": "stock.tflite", "onnx": "stock.onnx"}
"""What the stock tools make, by target; ONNX Runtime's with the types that it advises on x86."""


class ZooFile(Document):
    """A file that was made, and how far it agrees.

    Attributes:
        source_db: SQNR in dB beside the module that it was made from (an INT8 file: its
            program), on one image; left out for others' files.
        float_db: SQNR in dB beside the float network in PyTorch, on other images.
        seconds: Wall time of making and checking it.
    """

    size_bytes: int
    source_db: float | None = None
    float_db: float
    seconds: float


class ZooProgram(Document):
    """What calibration made: SQNR in dB beside the float network, and what it left in float."""

    float_db: float
    in_float: dict[str, int]
    seconds: float


class ZooTiming(Document):
    """Medians of CPU time in ms by build (`float`, `stock`, `edgeskin`), taking turns.

    Attributes:
        ratios: Median of `edgeskin` over that of the build, with its 95 % interval.
        operators: Of `edgeskin`, as its runtime lists them.
    """

    load: float
    rounds: int
    p50_ms: dict[str, float]
    ratios: dict[str, Estimate]
    operators: dict[str, int]


class ZooRecord(Document):
    """A network, from its weights to its files.

    Attributes:
        merged: Layers whose branches were merged before anything else.
        failed: What kept the network from being a run at all.
        files: By `TARGET-PRECISION`, and `TARGET-stock`.
        timing: By target.
        asked: Parts that were asked for: `stock`, `timing`.
        seconds: Wall time of everything.
    """

    name: str
    family: str
    library: str
    factory: str
    pixels: int
    parameters: int | None = None
    merged: int = 0
    failed: str | None = None
    program: ZooProgram | Failure | None = None
    files: dict[str, ZooFile | Failure] = Field(default_factory=dict)
    timing: dict[str, ZooTiming | Failure] = Field(default_factory=dict)
    asked: tuple[str, ...] = ()
    peak_memory_bytes: int = 0
    seconds: float = 0.0


def blank(network: ZooNetwork) -> ZooRecord:
    """The record of a network of which nothing is known yet."""
    return ZooRecord(
        name=network.name,
        family=network.family,
        library=network.library,
        factory=network.factory,
        pixels=network.pixels,
    )


class ZooResult(Document):
    """The zoo, and what it was measured on."""

    machine: Machine
    tools: dict[str, str]
    networks: tuple[ZooRecord, ...]
