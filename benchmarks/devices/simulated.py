"""`simulated:...`: this machine, with a maker's own software in place of an accelerator.

    simulated:htp[:CHIP]   a Snapdragon's NPU, by the compiler and the simulator in ONNX Runtime's
                           QNN provider (PyPI `onnxruntime-qnn`, under Qualcomm's licence)
    simulated:gpu[:fp32]   a phone's GPU, by LiteRT's WebGPU accelerator, the kernels that phones
                           run, on SwiftShader; in float16 as phones compute, or in float32

Outputs are the accelerator's, times mean nothing. For Linux x86_64.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin import files
from edgeskin.artifacts import read_metadata
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.emulation.swiftshader import DRIVER, swiftshader
from edgeskin.destinations import SNAPDRAGONS
from edgeskin.errors import NotSupportedHere, RunFailed, UnknownName
from edgeskin.formats import format_of
from edgeskin.formats.tflite.gpu_session import PRECISIONS
from edgeskin.progress import Progress, silent
from edgeskin.snapdragon import qnn
from edgeskin.snapdragon.ahead_of_time import compile_for
from edgeskin.snapdragon.dispatch import as_onnx


@dataclass(frozen=True)
class Simulator:
    """What computes in place of an accelerator.

    Attributes:
        name: As in `simulated:NAME`.
        variant: What it computes for unless told otherwise: a chip, an arithmetic.
        title: For a person, of a variant.
        runtime: That takes its files, as the runner calls it.
        prepared: A file as that runtime takes it, for a variant, made in a folder.
        cut: The same, of a part that was cut out of a file and carries no metadata.
        accelerator: One of `runner.request.ACCELERATORS`.
        library: Of the accelerator, among `files`.
        files: What is pushed beside the runtime, by name there.
        options: Of the accelerator, for a variant.
        environment: Variables that the runner starts with.
    """

    name: str
    variant: str
    title: Callable[[str], str]
    runtime: str
    prepared: Callable[[Path, str, Path], Path]
    cut: Callable[[Path, str, Path], Path]
    accelerator: str
    library: str
    files: Callable[[], Mapping[str, Path]]
    options: Callable[[str], Mapping[str, str]]
    environment: Mapping[str, str]


def _qnn_options(chip: str) -> dict[str, str]:
    if chip not in SNAPDRAGONS:
        raise UnknownName(
            f"no chip '{chip}' that {qnn.PACKAGE} knows; there are {', '.join(SNAPDRAGONS)}"
        )
    return qnn.options(f"./{qnn.BACKEND}", chip)


def _for_npu(path: Path, chip: str, folder: Path) -> Path:
    """ONNX files as they are; of TFLite ones what LiteRT's compiler makes for the chip.

    Raises:
        NotSupportedHere: Compiled for another chip, or taken by the NPU in parts.
        RunFailed: Qualcomm's compiler refuses it.
    """
    known = read_metadata(path)
    if known.compiled and known.compiled.chip != chip:
        raise NotSupportedHere(
            f"{path.name} is compiled for {known.compiled.chip}, not for {chip}: "
            f"--device simulated:htp:{known.compiled.chip}"
        )
    if format_of(path).name != "tflite":
        return path
    of = f"{files.sha256(path)[:12]}-{qnn.sdk_version()}"
    shown = folder / f"{path.stem}-{chip}-of-{of}.onnx"
    if not shown.exists():  # an earlier run, broken off, may have made it
        folder.mkdir(parents=True, exist_ok=True)
        compiled = path if known.compiled else folder / f"{path.stem}-{chip}-{of}.tflite"
        if compiled is not path:
            _compile_whole(path, chip, compiled)
        part = shown.with_suffix(".part")
        as_onnx(compiled, read_metadata(compiled), part)
        part.replace(shown)
    return shown


def _cut_for_npu(path: Path, chip: str, folder: Path) -> Path:
    """As `_for_npu`, of a part that was cut out of a file."""
    if format_of(path).name != "tflite":
        return path
    compiled, shown = (folder / f"{path.stem}-{chip}{suffix}" for suffix in (".tflite", ".onnx"))
    _compile_whole(path, chip, compiled, has_metadata=False)
    as_onnx(compiled, None, shown)
    return shown


def _compile_whole(path: Path, chip: str, out: Path, *, has_metadata: bool = True) -> None:
    tried = compile_for(path, chip, out, has_metadata=has_metadata)
    if tried.reason:
        raise RunFailed(f"{path.name} is refused for {chip}: {tried.reason}")
    if not tried.whole:
        raise NotSupportedHere(
            f"{path.name}: the NPU leaves {tried.left_in_words} to the CPU, and files in parts "
            "cannot be simulated from TFLite. Use the ONNX file"
        )


def _as_it_is(path: Path, _variant: str, _folder: Path) -> Path:
    return path


def _gpu_options(precision: str) -> dict[str, str]:
    if precision not in PRECISIONS:
        known = ", ".join(f"simulated:gpu:{name}" for name in PRECISIONS)
        raise UnknownName(f"no GPU arithmetic '{precision}'; there are {known}")
    return {"precision": PRECISIONS[precision]}


SIMULATORS = {
    simulator.name: simulator
    for simulator in (
        Simulator(
            name="htp",
            variant="SM8550",
            title=lambda chip: f"the NPU of a {SNAPDRAGONS[chip].title} ({chip}) by {qnn.named()}",
            runtime="onnx",
            prepared=_for_npu,
            cut=_cut_for_npu,
            accelerator="qnn-simulated",
            library=qnn.PROVIDER,
            files=qnn.files,
            options=_qnn_options,
            environment={},
        ),
        Simulator(
            name="gpu",
            variant="fp16",
            title=lambda precision: f"a GPU in {precision} by LiteRT's WebGPU on SwiftShader",
            runtime="tflite",
            prepared=_as_it_is,
            cut=_as_it_is,
            accelerator="webgpu",
            library="",
            files=swiftshader,
            options=_gpu_options,
            environment={"VK_ICD_FILENAMES": f"./{DRIVER}"},
        ),
    )
}


def find_simulator(what: str) -> tuple[Simulator, str]:
    """A simulator, and the variant that is meant, of `NAME` or `NAME:VARIANT`.

    Raises:
        UnknownName: No simulator is called so.
    """
    name, _, variant = what.partition(":")
    if name not in SIMULATORS:
        raise UnknownName(f"no simulator '{what}'; there are {', '.join(SIMULATORS)}")
    return SIMULATORS[name], variant or SIMULATORS[name].variant


def check_machine(device: str) -> None:
    """Raise NotSupportedHere where the simulators do not run."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise NotSupportedHere(
            f"{device}: the simulator is for Linux x86_64; this is {system} {machine}"
        )


class SimulatedLink(HostLink):
    """As `host`, for files that the simulated accelerator takes.

    Args:
        what: "htp:SM8750", "gpu".

    Raises:
        UnknownName: No simulator is called so.
        MissingPackage: Its software is not installed.
        NotSupportedHere: On another system than Linux x86_64, or one that is not Debian's.
        CannotFetch: The index or the mirror does not give it.
    """

    def __init__(self, what: str, work: Path, progress: Progress = silent) -> None:
        super().__init__(work)
        self.name = f"simulated:{what}"
        self.simulator, self.variant = find_simulator(what)
        check_machine(self.name)
        self.at_once = len(os.sched_getaffinity(0))
        self.simulator.options(self.variant)
        progress(f"{self.name}, software", 0, 1)
        self.simulator.files()
        progress(f"{self.name}, software", 1, 1)

    def launch(self, argv: Sequence[str]) -> list[str]:
        return ["env", *(f"{k}={v}" for k, v in self.simulator.environment.items()), *argv]

    def describe(self, facts: Facts) -> Facts:
        """Of the machine underneath, what computes nothing here is left out."""
        return facts.model_copy(
            update={
                "cpu": f"{self.simulator.title(self.variant)}, on {facts.cpu or facts.machine}",
                "governors": (),
                "clocks_khz": (),
                "simulated": f"{self.simulator.name}:{self.variant}",
                "emulated": True,
                "problems": (),
            }
        )
