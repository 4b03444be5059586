"""Qualcomm's libraries: those of PyPI's `onnxruntime-qnn`, under a licence of Qualcomm's."""

from __future__ import annotations

import importlib
import platform
from importlib import metadata, util
from pathlib import Path

from edgeskin.destinations import SNAPDRAGONS
from edgeskin.errors import MissingPackage, NotSupportedHere

PACKAGE, _FOLDER = "onnxruntime-qnn", "onnxruntime_qnn"
PROVIDER, BACKEND = f"{_FOLDER}/libonnxruntime_providers_qnn.so", f"{_FOLDER}/libQnnHtp.so"
"""ONNX Runtime's provider, and the NPU's compiler and simulator, below `site_packages`."""
NAME = "QNNExecutionProvider"
"""What the provider calls itself, in the files that it compiles too."""
_READER = f"{_FOLDER}/libQnnSystem.so"  # of files that are compiled already


def site_packages() -> Path:
    """The folder that `PACKAGE` is installed in.

    Raises:
        MissingPackage: It is not; the message names its licence.
        NotSupportedHere: On another system than Linux x86_64, for which it is made.
    """
    if (here := (platform.system(), platform.machine())) != ("Linux", "x86_64"):
        raise NotSupportedHere(
            f"Qualcomm's compiler and simulator are for Linux x86_64; this is {' '.join(here)}"
        )
    found = util.find_spec(_FOLDER)
    if found is None or found.origin is None:
        raise MissingPackage(
            f"Qualcomm's compiler and simulator come with {PACKAGE}, under a licence of theirs "
            f"({_FOLDER}/Qualcomm_LICENSE.pdf): pip install 'edgeskin[qualcomm]'"
        )
    return Path(found.origin).parents[1]


def files() -> dict[str, Path]:
    """The provider, the simulator and what they load, by where they look for each other.

    Raises:
        MissingPackage, NotSupportedHere: As `site_packages`; or the package lacks one.
    """
    folder = site_packages()
    named_ones = [folder / name for name in (PROVIDER, BACKEND, _READER)]
    needed = [*named_ones, *folder.glob(f"{_FOLDER}.libs/*.so*")]
    if missing := [path.name for path in needed if not path.is_file()]:
        raise MissingPackage(f"{named()} has no {missing[0]}: install {PACKAGE}==2.7.0")
    return {path.relative_to(folder).as_posix(): path for path in needed}


def libraries() -> list[Path]:
    """Every shared library of the package: what stands in for the `lib` folder of an SDK."""
    folder = site_packages()
    return [*folder.glob(f"{_FOLDER}/*.so"), *folder.glob(f"{_FOLDER}.libs/*.so*")]


def options(backend: str, chip: str) -> dict[str, str]:
    """Of ONNX Runtime's provider, for a chip of `SNAPDRAGONS`."""
    architecture = SNAPDRAGONS[chip].architecture
    return {"backend_path": backend, "soc_model": chip, "htp_arch": str(architecture)}


def named() -> str:
    """The package and its version."""
    return f"{PACKAGE} {metadata.version(PACKAGE)}"


def sdk_version() -> str:
    """Of Qualcomm's AI runtime (QAIRT) in the package, as it says."""
    site_packages()
    built = importlib.import_module(f"{_FOLDER}.build_and_package_info")
    return str(built.qnn_version)
