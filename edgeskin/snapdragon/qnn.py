"""Qualcomm's libraries: of PyPI's `onnxruntime-qnn`, or of an SDK that the environment names.

Both are under licences of Qualcomm's. ONNX Runtime's provider itself is in the package only.
"""

from __future__ import annotations

import importlib
import platform
from functools import cache
from importlib import metadata, util
from pathlib import Path

from edgeskin.destinations import SNAPDRAGONS
from edgeskin.errors import InvalidSdk, MissingPackage, NotSupportedHere
from edgeskin.snapdragon.sdk import Api, ask, own_sdk

PACKAGE, _FOLDER = "onnxruntime-qnn", "onnxruntime_qnn"
PROVIDER, BACKEND = f"{_FOLDER}/libonnxruntime_providers_qnn.so", f"{_FOLDER}/libQnnHtp.so"
"""ONNX Runtime's provider, and the NPU's compiler and simulator, below `site_packages`."""
NAME = "QNNExecutionProvider"
"""What the provider calls itself, in the files that it compiles too."""
_READER = f"{_FOLDER}/libQnnSystem.so"  # of files that are compiled already
_CXX = ("libc++", "libunwind")  # which an SDK's libraries may be linked to, and lie beside


def site_packages() -> Path:
    """The folder that `PACKAGE` is installed in.

    Raises:
        MissingPackage: It is not; the message names its licence.
        NotSupportedHere: On another system than Linux x86_64, for which it is made.
    """
    _check_machine()
    found = util.find_spec(_FOLDER)
    if found is None or found.origin is None:
        raise MissingPackage(
            f"Qualcomm's compiler and simulator come with {PACKAGE}, under a licence of theirs "
            f"({_FOLDER}/Qualcomm_LICENSE.pdf): pip install 'edgeskin[qualcomm]'"
        )
    return Path(found.origin).parents[1]


def _check_machine() -> None:
    if (here := (platform.system(), platform.machine())) != ("Linux", "x86_64"):
        raise NotSupportedHere(
            f"Qualcomm's compiler and simulator are for Linux x86_64; this is {' '.join(here)}"
        )


def files() -> dict[str, Path]:
    """The provider, the simulator and what they load, by where they look for each other.

    Raises:
        MissingPackage, NotSupportedHere: As `site_packages`; or the package lacks one.
        InvalidSdk: As `backend`.
    """
    folder = site_packages()
    named_ones = [folder / name for name in (PROVIDER, BACKEND, _READER)]
    needed = [*named_ones, *folder.glob(f"{_FOLDER}.libs/*.so*")]
    if missing := [path.name for path in needed if not path.is_file()]:
        raise MissingPackage(f"{_package()} has no {missing[0]}: install {PACKAGE}==2.7.0")
    found = {path.relative_to(folder).as_posix(): path for path in needed}
    if sdk := own_sdk():
        own = [backend(), sdk.libraries / Path(_READER).name]
        own += [path for name in _CXX for path in sdk.libraries.glob(f"{name}*.so*")]
        found |= {f"{_FOLDER}/{path.name}": path for path in own}
    return found


def libraries() -> Path:
    """The folder of the libraries: the package's, or an SDK's, which needs no package.

    Raises:
        MissingPackage, NotSupportedHere: As `site_packages`.
        InvalidSdk: As `own_sdk`.
    """
    _check_machine()
    sdk = own_sdk()
    return sdk.libraries if sdk else site_packages() / _FOLDER


def backend() -> Path:
    """The NPU's compiler and simulator, as ONNX Runtime's provider takes it.

    Raises:
        MissingPackage, NotSupportedHere, InvalidSdk: As `libraries`; or the provider, which takes
            no older API than its own, does not take the SDK.
    """
    own = site_packages() / BACKEND
    if not (sdk := own_sdk()):
        return own
    wanted = _api(own)
    if sdk.api[0] != wanted[0] or sdk.api < wanted:
        raise InvalidSdk(
            f"{_package()} takes Qualcomm's libraries of API {_dotted(wanted)} or newer, and "
            f"{sdk} has {_dotted(sdk.api)}: name a newer SDK, or unset "
            f"{sdk.variable}"
        )
    return sdk.libraries / own.name


@cache
def _api(library: Path) -> Api:
    return ask([library])[1]


def _dotted(version: Api) -> str:
    return ".".join(map(str, version))


def options(backend: str, chip: str) -> dict[str, str]:
    """Of ONNX Runtime's provider, for a chip of `SNAPDRAGONS`."""
    architecture = SNAPDRAGONS[chip].architecture
    return {"backend_path": backend, "soc_model": chip, "htp_arch": str(architecture)}


def named() -> str:
    """The package and its version, and the SDK where there is one."""
    return f"{_package()} with {sdk}" if (sdk := own_sdk()) else _package()


def _package() -> str:
    return f"{PACKAGE} {metadata.version(PACKAGE)}"


def sdk_version() -> str:
    """Of Qualcomm's AI runtime (QAIRT), as the SDK's library or the package says.

    Raises:
        MissingPackage, NotSupportedHere, InvalidSdk: As `libraries`.
    """
    _check_machine()
    if sdk := own_sdk():
        return sdk.version
    site_packages()
    built = importlib.import_module(f"{_FOLDER}.build_and_package_info")
    return str(built.qnn_version)
