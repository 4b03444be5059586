"""A result: one artifact on one device, every raw sample, and what speaks against believing it.

`bench` writes it, `read_result` reads it back. Times are in milliseconds on a monotonic clock.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime

from edgeskin.benchmarks.accuracy import Accuracy
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.nvidia import EngineTimes
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.benchmarks.runner.request import EngineUsed
from edgeskin.document import Document
from edgeskin.errors import InvalidResult
from edgeskin.measured import VERSION
from edgeskin.subgroups import Subgroups

CPU = "CPUExecutionProvider"


class ArtifactIdentity(Document):
    """The file that was run, and what it says of itself; `model` is its spec's name."""

    name: str
    sha256: str
    bytes: int
    precision: str
    io: str
    model: str


class PackIdentity(Document):
    """The images it was run on.

    `sha256` is that of pack.json, `source_sha256` that of each image file, in order.
    """

    name: str
    sha256: str
    images: int
    source_sha256: tuple[str, ...]


class BenchedDevice(Facts):
    """The device before the run, and its name as in "adb:SERIAL"."""

    name: str


class Harness(Document):
    """The machine that the device was driven from.

    `at` is its clock when the last image was back, UTC; the device's own may be wrong. Results of
    earlier versions have none.
    """

    machine: str
    system: str
    at: AwareDatetime | None = None


class Load(Document):
    """One load of the model, and the first inference after it.

    `cold`: the files were dropped from the page cache before.
    """

    cold: bool
    load_ms: float
    first_ms: float


class Warmup(Document):
    """What came before the samples; `stable`: two blocks of runs agreed within 2 % at its end."""

    event: Literal["warm"] = "warm"
    runs: int
    stable: bool
    run_ms: tuple[float, ...]


class Percentiles(Document):
    """Of single queries, interpolated linearly between samples; warm-up left out."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float


class Summary(Document):
    """Percentiles of the parts of a query.

    `pre` is from the image to the input tensor, `run` the inference, `post` from the outputs to
    the answer, `whole` their sum.
    """

    pre: Percentiles
    run: Percentiles
    post: Percentiles
    whole: Percentiles


class Samples(Document):
    """Every query, in order: its image, when it began, and the time of each part.

    `at_ms` is since the first one began. `read_ms`, the image from the file into memory, is no
    part of the query.
    """

    image: tuple[int, ...]
    at_ms: tuple[float, ...]
    read_ms: tuple[float, ...]
    pre_ms: tuple[float, ...]
    run_ms: tuple[float, ...]
    post_ms: tuple[float, ...]

    @property
    def whole_ms(self) -> tuple[float, ...]:
        """Of each query, from the image to the answer; shorter where parts are missing."""
        return tuple(map(sum, zip(self.pre_ms, self.run_ms, self.post_ms, strict=False)))


class SensorReading(Document):
    """The device's sensors at one moment, as its kernel names them.

    `at_ns` is on the samples' clock, `realtime_ns` on the wall clock, `cpu_ticks` a line of
    /proc/stat in ticks of 10 ms, `thermal_mc` in thousandths of a degree Celsius, `power` what
    each supply under /sys/class/power_supply says.
    """

    event: Literal["sensors"] = "sensors"
    at_ns: int
    realtime_ns: int
    own_cpu_ns: int
    cpu_ticks: str
    load: str
    thermal_mc: dict[str, int]
    clock_khz: dict[str, int | str]
    governor: dict[str, int | str]
    power: dict[str, dict[str, int | str]]


class OperatorTime(Document):
    """One operator's mean time.

    `provider` is ONNX Runtime's execution provider, and `node` its name of the node: that of the
    file, or one of its own making.
    """

    name: str
    index: int | None = None
    provider: str | None = None
    node: str | None = None
    mean_ms: float


class PlacedOperator(Document):
    """An operator of TFLite's graph: its builtin code, and of a delegate what it replaces."""

    code: int
    name: str | None = None
    replaces: tuple[int, ...] | None = None


class Placement(Document):
    """TFLite's operators before delegation (`graph`) and after it (`plan`)."""

    graph: tuple[PlacedOperator, ...]
    plan: tuple[PlacedOperator, ...]


class Operators(Document):
    """Which operators ran where and how long, as far as the runtime tells.

    `plan` are those that the runtime ran, in order; `delegated` those inside a TFLite delegate.
    """

    plan: tuple[OperatorTime, ...] | None = None
    delegated: tuple[OperatorTime, ...] | None = None
    placement: Placement | None = None


class Part(Document):
    """A part of the graph that one provider took: its operators by type."""

    provider: str
    operators: dict[str, int]


class Assigned(Document):
    """What an accelerator took of the graph, by the runtime's own record.

    Attributes:
        parts: Those of every provider, the CPU's last; None where the runtime names none.
        counted: Operators that it took, and all, where they are counted without their names.
        left_because: Why operators are left on the CPU, in the runtime's words, a line each.
    """

    provider: str
    whole: bool
    parts: tuple[Part, ...] | None = None
    counted: tuple[int, int] | None = None
    left_because: tuple[str, ...] = ()

    @property
    def partitions(self) -> int | None:
        """Parts on the accelerator; None where the runtime does not count them."""
        if self.parts is None:
            return 1 if self.whole else None
        return sum(part.provider != CPU for part in self.parts)

    @property
    def operators(self) -> tuple[int, int] | None:
        """How many it took, and all; None where the runtime counts none."""
        if self.parts is None:
            return self.counted
        taken = self.taken.total()
        return taken, taken + self.left.total()

    @property
    def taken(self) -> Counter[str]:
        """Operators on the accelerator, by type."""
        return self._operators(CPU, there=False)

    @property
    def left(self) -> Counter[str]:
        """Operators on the CPU, by type."""
        return self._operators(CPU, there=True)

    def _operators(self, provider: str, *, there: bool) -> Counter[str]:
        chosen = [p.operators for p in self.parts or () if (p.provider == provider) is there]
        return sum(map(Counter, chosen), Counter())


class Latency(Document):
    """One run of a protocol.

    `library_ms` is the time to load the runtime's library; `throttle_ratio` the median inference
    of the last tenth of the samples over that of the first tenth; `memory_kb` the process's peak
    (VmHWM) by the moment it was read.
    """

    library_ms: float
    loads: tuple[Load, ...]
    warmup: Warmup
    summary: Summary
    throttle_ratio: float
    samples: Samples
    sensors: tuple[SensorReading, ...]
    memory_kb: dict[str, int]
    operators: Operators


class EngineRefused(Document):
    """Why the device's own trtexec built no engine of the file."""

    error: str


class BenchResult(Document):
    """One artifact on one device.

    `assigned` is told of accelerators that are libraries of their own: NPUs, and GPUs by WebGPU.
    `unverified` says why nobody knows that the accelerator computed the outputs; absent where it
    is known, or where the CPU was asked for.

    What comes of a protocol is left out where accuracy alone was asked for: `latency`, the
    device's state after it, its `doubts` (why the figures may be wrong, a sentence each), and of
    a Jetson `tegrastats` (a reading a second, see `nvidia.read_line`) and `trtexec`.
    """

    version: Literal[1] = VERSION
    edgeskin: str
    artifact: ArtifactIdentity
    pack: PackIdentity
    device: BenchedDevice
    harness: Harness
    engine: EngineUsed
    accuracy: Accuracy
    assigned: Assigned | None = None
    unverified: str | None = None
    protocol: Protocol | None = None
    latency: Latency | None = None
    device_after: Facts | None = None
    doubts: tuple[str, ...] | None = None
    tegrastats: tuple[dict[str, float], ...] | None = None
    trtexec: EngineTimes | EngineRefused | None = None


class JoinTime(Document):
    """What it took to make the last stage's pictures, an image each; answered ones only.

    `where` is the machine that joined, with the native core's kernels: the host, by the code that
    an app calls on its device.
    """

    where: str
    p50_ms: float
    samples_ms: tuple[float, ...]


class PipelineResult(BenchResult):
    """A pipeline on one device, each stage by the device, joined on the host between them.

    `accuracy` is of the end: the images that both the device and the float pipeline answer,
    each with its answer from the device's own masks. `engine` and `device` are as the last stage
    found them; there is no `latency` but that of the stages.

    Attributes:
        stages: By name. The last one's accuracy is of single pictures, each against the float
            pipeline's answer to its image.
        looked_at: Images of the pack; `pack.images` too.
        statuses: Images by status, of `reference` and `device`.
        equal_statuses: The share of images of the same status.
        answered: The share of images that each answers, by group of the pack.
        pictures_per_image: How often the last stage runs for an answered image.
        whole_p50_ms: Medians of a whole query: the first stage's and, times
            `pictures_per_image`, the last one's, without the join.
    """

    stages: dict[str, BenchResult]
    looked_at: int
    statuses: dict[str, dict[str, int]]
    equal_statuses: float
    answered: dict[str, Subgroups] | None = None
    pictures_per_image: float
    join: JoinTime
    whole_p50_ms: float | None = None


def read_result(path: Path | str) -> BenchResult:
    """The result that `bench` wrote to `path`; of a pipeline a `PipelineResult`.

    Raises:
        InvalidResult: Missing, damaged, or of another version.
    """
    return result_from(read_document(Path(path)), path)


def read_document(path: Path) -> Any:
    """The JSON of a file.

    Raises:
        InvalidResult: Missing, or no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidResult(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidResult(f"{path} is not JSON: {error}") from error


def result_from(document: Any, where: Path | str) -> BenchResult:
    """The result that a document is; of a pipeline a `PipelineResult`.

    Raises:
        InvalidResult: Damaged, or of another version.
    """
    stages = isinstance(document, dict) and "stages" in document
    return (PipelineResult if stages else BenchResult).from_json(document, where=where)
