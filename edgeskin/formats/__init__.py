"""The formats of converted models: one table, and one folder a format.

What edgeskin knows of a format lies in its folder, in modules of fixed names, each
loaded when a file asks for it:

    metadata     `entries(path)`: what edgeskin stored inside, as text by key
    reader       `read(path)`: its `Network`; `place(path, network)`: what its runtime makes of it
    cutter       `open_cutter(path, network)`: parts of it as files of their own
    session      `open_session(path, threads=, kernels=)`: the file on its runtime
    standalone   `PACKAGE`, `RUN`: a program text that runs a file without edgeskin

How a file comes to be is told by `converter`, a module of `edgeskin.converters`.
docs/add-a-format.md says what a new format needs.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from edgeskin.errors import (
    CannotExpress,
    InvalidArtifact,
    MissingPackage,
    NotSupportedHere,
    UnknownName,
)

if TYPE_CHECKING:  # the table is read where numpy would be too much
    from edgeskin.converters.model import Job
    from edgeskin.formats.cutting import Cutter
    from edgeskin.formats.network import Network
    from edgeskin.runtimes import Kernels, Session

Part = Literal["metadata", "reader", "cutter", "session", "standalone"]


@dataclass(frozen=True)
class Format:
    """A file type.

    Attributes:
        name: As `--target` calls it.
        title: As its makers write it.
        suffix: Of the files that edgeskin writes.
        folder: The package with the modules above.
        converter: The module with `convert(job, path)`, and perhaps `prepare(job)` before it.
        extra: What brings everything that converts to it: `pip install 'edgeskin[EXTRA]'`;
            `run-EXTRA` brings its runtime alone.
        read_extra: What brings as much as reading one needs.
        libraries: The packages that read and run it.
        packages: What converting needs.
        int8_layer_db: SQNR in dB that a layer of an untouched INT8 file keeps beside its
            program; measured, see docs/results/floors.md.
        also_read: Suffixes that are read and audited, but neither written nor run.
        lost: What would be lost, by scheme that it cannot hold.
        runner: What the device runner calls its runtime; None where it has none.
    """

    name: str
    title: str
    suffix: str
    folder: str
    converter: str
    extra: str
    read_extra: str
    libraries: tuple[str, ...]
    packages: tuple[str, ...]
    int8_layer_db: float
    also_read: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)
    runner: str | None = None

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (self.suffix, *self.also_read)

    def file_name(self, model: str, precision: str) -> str:
        return f"{model}-{precision}{self.suffix}"

    @contextmanager
    def part(self, name: Part) -> Iterator[ModuleType]:
        """A module of the format's folder, for use inside.

        Raises:
            MissingPackage: What it imports, now or inside, is not installed.
        """
        try:
            yield importlib.import_module(f"{self.folder}.{name}")
        except ModuleNotFoundError as error:
            if error.name not in (*self.libraries, "torch"):
                raise
            reads = name != "session"
            raise MissingPackage(
                f"{'reading' if reads else 'running'} {self.title} files needs {error.name}: "
                f"pip install 'edgeskin[{self.read_extra if reads else f'run-{self.extra}'}]'"
            ) from error

    def convert(self, job: Job, path: Path) -> Job:
        """Write `path`, in this process; the job as `prepared` made it.

        Raises:
            MissingPackage: A package that converting needs is not installed.
        """
        self.check_packages()
        made = self.prepared(job)
        importlib.import_module(self.converter).convert(made, path)
        return made

    def prepared(self, job: Job) -> Job:
        """The same function in what the format's runtime is fast at; the job itself, as a rule."""
        prepare = getattr(importlib.import_module(self.converter), "prepare", None)
        made: Job = job if prepare is None else prepare(job)
        return made

    def check_packages(self) -> None:
        """Raise MissingPackage where one that converting needs is absent; nothing is imported."""
        for package in self.packages:
            if importlib.util.find_spec(package.replace("-", "_")) is None:
                raise MissingPackage(
                    f"converting to {self.name} needs {package}: "
                    f"pip install 'edgeskin[{self.extra}]'"
                )

    def check_scheme(self, scheme: str) -> None:
        """Raise CannotExpress where it cannot hold what a program of `scheme` says."""
        if scheme in self.lost:
            holders = [f.name for f in FORMATS.values() if scheme not in f.lost]
            raise CannotExpress(
                f"{self.name} cannot hold a {scheme} program: {self.lost[scheme]}. Convert it to "
                f"{' or '.join(holders)}, or calibrate with --scheme w8a8."
            )


FORMATS = {
    f.name: f
    for f in (
        Format(
            "tflite",
            "TFLite",
            ".tflite",
            folder="edgeskin.formats.tflite",
            converter="edgeskin.converters.to_tflite",
            extra="tflite",
            read_extra="run-tflite",
            libraries=("ai_edge_litert",),
            packages=("torch", "litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
            int8_layer_db=25.0,
            lost={
                "w8a16": "litert-torch gives int16 layers a bias of 32 bits, LiteRT's kernels take "
                "64, and a narrower bias would overflow"
            },
            runner="tflite",
        ),
        Format(
            "coreml",
            "Core ML",
            ".mlpackage",
            folder="edgeskin.formats.coreml",
            converter="edgeskin.converters.to_coreml",
            extra="coreml",
            read_extra="run",
            libraries=("coremltools",),
            packages=("torch", "coremltools"),
            int8_layer_db=20.0,
            also_read=(".mlmodel",),
            lost={
                "w8a16": "Core ML quantizes activations to 8 bits, so that the other 8 of the 16 "
                "would be lost"
            },
        ),
        Format(
            "onnx",
            "ONNX",
            ".onnx",
            folder="edgeskin.formats.onnx",
            converter="edgeskin.converters.to_onnx",
            extra="onnx",
            read_extra="run-onnx",
            libraries=("onnxruntime", "onnx"),
            packages=("torch", "onnx", "onnxscript", "onnxruntime"),
            int8_layer_db=40.0,
            runner="onnx",
        ),
    )
}


def find_format(name: str) -> Format:
    """The format of a `--target`.

    Raises:
        UnknownName: No such target.
    """
    if name not in FORMATS:
        raise UnknownName(f"no target '{name}'; there are {', '.join(FORMATS)}, and all")
    return FORMATS[name]


def suffixes() -> list[str]:
    """The suffixes of files that edgeskin writes and runs."""
    return [f.suffix for f in FORMATS.values()]


def is_artifact(path: Path) -> bool:
    """Whether `path` is called like a converted model."""
    return path.suffix in suffixes()


def format_of(path: Path, *, to_read: bool = False) -> Format:
    """The format of a file, by its suffix.

    Args:
        to_read: Types that are only read will do.

    Raises:
        InvalidArtifact: Missing, of no known type, or a folder where a file is expected.
    """
    known = {s: f for f in FORMATS.values() for s in (f.suffixes if to_read else (f.suffix,))}
    if path.suffix not in known:
        raise InvalidArtifact(f"{path} is none of {', '.join(known)}")
    if not path.exists():
        raise InvalidArtifact(f"{path} is missing")
    return known[path.suffix]


def read_network(path: Path) -> Network:
    """The operators and tensors of a model file.

    Raises:
        InvalidArtifact: Of no known type, or damaged.
        MissingPackage: The format's own package is not installed.
    """
    with format_of(path, to_read=True).part("reader") as reader:
        network: Network = reader.read(path)
    return network


def open_cutter(path: Path, network: Network) -> Cutter:
    """What makes parts of a file.

    Raises:
        InvalidArtifact: Of no known type.
    """
    with format_of(path).part("cutter") as module:
        cutter: Cutter = module.open_cutter(path, network)
    return cutter


def open_session(path: Path, *, threads: int = 1, kernels: Kernels = "fast") -> Session:
    """Load an artifact on its own runtime.

    Args:
        kernels: "fast" as the runtime ships; "reference" as the file says, step
            for step: LiteRT's reference kernels, ONNX Runtime without graph
            optimisation, the meaning of MIL for Core ML.

    Raises:
        InvalidArtifact: Not a file of a known type, or one its runtime refuses.
        NotSupportedHere: It is compiled for an accelerator.
        MissingPackage: The runtime is not installed.
    """
    path = Path(path)
    with format_of(path).part("session") as module:
        try:
            session: Session = module.open_session(path, threads=threads, kernels=kernels)
        except InvalidArtifact as error:
            if not _is_compiled(path):
                raise
            raise NotSupportedHere(
                f"{path.name} is compiled for an accelerator, and runs nowhere else: see "
                "edgeskin bench --device"
            ) from error
    return session


def _is_compiled(path: Path) -> bool:
    """Whether a file that its runtime refuses is one for an accelerator."""
    try:
        return read_network(path).is_compiled
    except InvalidArtifact:
        return False
