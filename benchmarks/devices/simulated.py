"""`simulated:...`: this machine, with a maker's own software in place of an accelerator.

    simulated:htp[:CHIP]   a Snapdragon's NPU, by the compiler and the simulator in ONNX Runtime's
                           QNN provider (PyPI `onnxruntime-qnn`, under Qualcomm's licence)
    simulated:gpu[:fp32]   a phone's GPU, by LiteRT's WebGPU accelerator, the kernels that phones
                           run, on SwiftShader; in float16 as phones compute, or in float32

Outputs are the accelerator's, times mean nothing. For Linux x86_64.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.emulation.swiftshader import DRIVER, swiftshader
from edgeskin.destinations import SNAPDRAGONS
from edgeskin.errors import MissingPackage, NotSupportedHere, UnknownName
from edgeskin.progress import Progress, silent

QNN_PACKAGE, QNN = "onnxruntime-qnn", "onnxruntime_qnn"
QNN_PROVIDER, QNN_BACKEND = f"{QNN}/libonnxruntime_providers_qnn.so", f"{QNN}/libQnnHtp.so"
_PRECISIONS = {"fp16": "1", "fp32": "2"}  # LiteRtDelegatePrecision


@dataclass(frozen=True)
class Simulator:
    """What computes in place of an accelerator.

    Attributes:
        name: As in `simulated:NAME`.
        variant: What it computes for unless told otherwise: a chip, an arithmetic.
        title: For a person, of a variant.
        runtime: That takes its files, as the runner calls it.
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
    accelerator: str
    library: str
    files: Callable[[], Mapping[str, Path]]
    options: Callable[[str], Mapping[str, str]]
    environment: Mapping[str, str]


def _qnn_files() -> dict[str, Path]:
    """The provider, the simulator and what they load, by where they look for each other."""
    found = util.find_spec(QNN)
    if found is None or found.origin is None:
        raise MissingPackage(
            f"the simulator comes with {QNN_PACKAGE}, under a licence of Qualcomm's "
            f"({QNN}/Qualcomm_LICENSE.pdf): pip install 'edgeskin[qualcomm]'"
        )
    folder = Path(found.origin).parents[1]
    needed = [folder / QNN_PROVIDER, folder / QNN_BACKEND, *folder.glob(f"{QNN}.libs/*.so*")]
    if missing := [path.name for path in needed if not path.is_file()]:
        raise MissingPackage(f"{_qnn()} has no {missing[0]}: install {QNN_PACKAGE}==2.7.0")
    return {path.relative_to(folder).as_posix(): path for path in needed}


def _qnn() -> str:
    return f"{QNN_PACKAGE} {metadata.version(QNN_PACKAGE)}"


def _qnn_options(chip: str) -> dict[str, str]:
    if chip not in SNAPDRAGONS:
        raise UnknownName(
            f"no chip '{chip}' that {QNN_PACKAGE} knows; there are {', '.join(SNAPDRAGONS)}"
        )
    return {"backend_path": f"./{QNN_BACKEND}", "soc_model": chip}


def _gpu_options(precision: str) -> dict[str, str]:
    if precision not in _PRECISIONS:
        known = ", ".join(f"simulated:gpu:{name}" for name in _PRECISIONS)
        raise UnknownName(f"no GPU arithmetic '{precision}'; there are {known}")
    return {"precision": _PRECISIONS[precision]}


SIMULATORS = {
    simulator.name: simulator
    for simulator in (
        Simulator(
            name="htp",
            variant="SM8550",
            title=lambda chip: f"the NPU of a {SNAPDRAGONS[chip]} ({chip}) by {_qnn()}",
            runtime="onnx",
            accelerator="qnn-simulated",
            library=QNN_PROVIDER,
            files=_qnn_files,
            options=_qnn_options,
            environment={},
        ),
        Simulator(
            name="gpu",
            variant="fp16",
            title=lambda precision: f"a GPU in {precision} by LiteRT's WebGPU on SwiftShader",
            runtime="tflite",
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
        system, machine = platform.system(), platform.machine()
        if (system, machine) != ("Linux", "x86_64"):
            raise NotSupportedHere(
                f"{self.name}: the simulator is for Linux x86_64; this is {system} {machine}"
            )
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
