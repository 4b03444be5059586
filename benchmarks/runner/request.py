"""What the runner is asked: the text that src/request.cpp reads, one `key value...` a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgeskin.artifacts import Metadata
from edgeskin.benchmarks.pack import Item
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.document import Document
from edgeskin.errors import NotSupportedHere
from edgeskin.spec import ClassificationHead, DistributionHead, Head

ACCELERATORS = {
    "tflite": ("xnnpack", "none", "reference", "gpu", "external", "webgpu"),
    "onnx": ("none", "xnnpack", "cuda", "tensorrt", "qnn", "qnn-simulated"),
}
"""By runtime, the one that is used when none is asked for first."""

ANYWHERE = ("none", "reference")
"""Of ACCELERATORS, kernels that a runtime has on every CPU."""

DELEGATES = ("gpu", "external")
"""Of ACCELERATORS, those that need a library of their own and the TfLite C API."""

PLUGIN, SIMULATED_PLUGIN, WEBGPU = "qnn", "qnn-simulated", "webgpu"
"""Of ACCELERATORS: a provider that is a library of the user's, or of the simulator's, and LiteRT's
own for GPUs."""


class Engine(Document):
    """A runtime as it is to be used on a device; file names are the device's.

    Attributes:
        runtime: tflite or onnx.
        library: Its shared library.
        accelerator: One of ACCELERATORS; `none` is the runtime's own optimized CPU kernels,
            `reference` TFLite's plain ones.
        accelerator_library: Of a gpu or external delegate, or of qnn.
        options: Of the accelerator; `session.*` are ONNX Runtime's own.
    """

    runtime: str
    library: str
    accelerator: str = "none"
    accelerator_library: str = ""
    options: Mapping[str, str] = {}
    threads: int = 1

    def lines(self) -> Iterable[str]:
        yield f"runtime {self.runtime}"
        yield f"library {self.library}"
        yield f"accelerator {self.accelerator}"
        if self.accelerator_library:
            yield f"accelerator_library {self.accelerator_library}"
        yield from (f"option {key} {value}" for key, value in self.options.items())
        yield f"threads {self.threads}"


class EngineUsed(Engine):
    """An engine that ran: with what the runtime there says of itself, and every file pushed.

    Attributes:
        version: Of the runtime, by its own word.
        kernels: Of the native core, which preprocesses: "neon", "avx2".
        sha256: By the name on the device.
    """

    version: str
    kernels: str
    sha256: dict[str, str]

    @property
    def placed(self) -> str:
        """The accelerator, with its threads where there are several."""
        return self.accelerator + (f", {self.threads} threads" if self.threads > 1 else "")


def request(
    engine: Engine,
    metadata: Metadata,
    items: Sequence[Item],
    *,
    ready: bool,
    model: str,
    images: str,
    spec: str = "spec.json",
    outputs: str | None = None,
    protocol: Protocol | None = None,
    sensors: str = "/",
) -> str:
    """The request's text.

    Args:
        items: Images of the shard `images`, in the order of their numbers in the events.
        ready: They have the model's size already.
        outputs: Where to write the outputs of every image; None: not wanted.
        protocol: How to measure latency; None: not at all.
        sensors: The folder that holds sys/ and proc/ (another than / in tests).

    Raises:
        NotSupportedHere: A file's name or an option has a line break.
    """
    lines = [*engine.lines(), f"model {model}", f"images {images}", f"spec {spec}"]
    lines += [f"app_io {int(metadata.io == 'app')}", f"sensors {sensors}"]
    lines += ["ready"] * ready + [f"outputs {outputs}"] * (outputs is not None)
    lines += [line for head in metadata.spec.heads if (line := _head(head, metadata.io))]
    if protocol is not None:
        lines += protocol.lines()
    lines += [f"image {item.offset} {item.width} {item.height}" for item in items]
    return _text(lines)


def load_request(engine: Engine, model: str) -> str:
    """The text that has a model loaded, and nothing run; errors as of `request`."""
    return _text([*engine.lines(), f"model {model}", "only_load"])


def _text(lines: Sequence[str]) -> str:
    if broken := [line for line in lines if "\n" in line]:
        raise NotSupportedHere(
            f"{broken[0]!r} has a line break, which no request to a device can have. Rename it."
        )
    return "\n".join(lines) + "\n"


def _head(head: Head, io: str) -> str:
    """How the core reads a head; empty for kinds that need no reading (numbers, masks, tensors)."""
    activation = "softmax" if io == "tensor" else "none"
    match head:
        case ClassificationHead():
            kind = "labels" if head.activation == "sigmoid" else "classification"
            activation = head.activation if io == "tensor" else "none"
            return f"head {head.name} {kind} {activation} {len(head.labels)}"
        case DistributionHead():
            output = head.name if io == "tensor" else f"{head.name}_distribution"
            upper = " ".join(repr(x) for x in (head.ranges.upper if head.ranges else ()))
            size = f"{head.size} {head.first!r} {head.step!r}"
            return f"head {output} distribution {activation} {size} {upper}".rstrip()
    return ""
