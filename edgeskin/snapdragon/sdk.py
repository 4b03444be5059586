"""A QAIRT SDK of the user's own, where Qualcomm's variable names one: found, loaded, asked.

`python -m edgeskin.snapdragon.sdk LIBRARY...` is what loads it, a process of its own: a damaged
library ends the one that loads it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import NamedTuple

from edgeskin.errors import InvalidSdk

VARIABLES = ("QAIRT_SDK_ROOT", "QNN_SDK_ROOT")
"""As Qualcomm's tools call the SDK's folder: `qairt-vm` the first, `bin/envsetup.sh` the second."""
_LIBRARIES = "lib/x86_64-linux-clang"
_BACKEND = "libQnnHtp.so"
_NEEDED = (_BACKEND, "libQnnSystem.so", "libQnnIr.so", "libQnnSaver.so")
"""What ONNX Runtime's provider (the first two) and LiteRT's plugin load."""
_LONGEST_S = 60.0


Api = tuple[int, ...]


class Sdk(NamedTuple):
    """A SDK by the variable that names it.

    `libraries` are those for Linux x86_64. `version`, and `api` of the interface that they have
    (QNN's core API), are what they say.
    """

    variable: str
    libraries: Path
    version: str
    api: Api

    def __str__(self) -> str:
        return f"the SDK of {self.variable} (QAIRT {self.version})"


def own_sdk() -> Sdk | None:
    """The SDK that the environment names; None where it names none.

    Raises:
        InvalidSdk: It lacks a library, or one does not load.
    """
    for variable in VARIABLES:
        if folder := os.environ.get(variable):
            return _opened(variable, Path(folder))
    return None


@cache
def _opened(variable: str, folder: Path) -> Sdk:
    libraries = (folder / _LIBRARIES).absolute()
    if not folder.is_dir():
        raise InvalidSdk(f"{variable} names {folder}, and there is no such folder")
    if missing := [name for name in _NEEDED if not (libraries / name).is_file()]:
        raise InvalidSdk(
            f"{variable} names {folder}, which has no {_LIBRARIES}/{missing[0]}: name the folder "
            "of a whole QAIRT SDK, or unset the variable"
        )
    try:
        version, api = ask([libraries / name for name in _NEEDED])
    except OSError as error:
        raise InvalidSdk(
            f"the libraries of {variable}, {libraries}, do not load: {error}. What a whole SDK "
            "wants of this system, its bin/check-linux-dependency.sh installs"
        ) from error
    return Sdk(variable, libraries, version, api)


def ask(libraries: Sequence[Path]) -> tuple[str, Api]:
    """Load libraries, elsewhere, and ask the first, a backend, for its version and its API's.

    Raises:
        OSError: One does not load.
    """
    done = subprocess.run(
        [sys.executable, "-m", __name__, *map(str, libraries)],
        env={**os.environ, **search_path(libraries[0].parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_LONGEST_S,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("OSError: ")]
        raise OSError(lines[-1].removeprefix("OSError: ") if lines else "one is damaged")
    version, api = done.stdout.split()[-2:]
    return version, tuple(map(int, api.split(".")))


def search_path(libraries: Path) -> dict[str, str]:
    """Environment of a program that looks for libraries there first, as `envsetup.sh` has it."""
    known = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": f"{libraries}:{known}" if known else str(libraries)}


class _Version(ctypes.Structure):
    _fields_ = (("major", c_uint32), ("minor", c_uint32), ("patch", c_uint32))


class _Interface(ctypes.Structure):
    """`QnnInterface_t` as far as its function `backendGetBuildId`, the fifth."""

    _fields_ = (
        ("backend_id", c_uint32),
        ("name", c_char_p),
        ("core_version", _Version),
        ("backend_version", _Version),
        ("functions", c_void_p * 5),
    )


def main() -> None:
    """Load every library; print the version of the first, and that of its API.

    Raises:
        OSError: One does not load, or the first is no backend.
    """
    backend, *_ = loaded = [ctypes.CDLL(library) for library in sys.argv[1:]]
    providers, count, text = POINTER(POINTER(_Interface))(), c_uint32(), c_char_p()
    listing = backend.QnnInterface_getProviders
    listing.argtypes, listing.restype = [c_void_p, c_void_p], c_uint64
    if listing(byref(providers), byref(count)) or not count.value:
        raise OSError(f"{loaded[0]._name} has no interface")
    interface = providers[0].contents
    build_id = ctypes.CFUNCTYPE(c_uint64, c_void_p)(interface.functions[-1])
    if build_id(byref(text)) or not text.value:
        raise OSError(f"{loaded[0]._name} does not say its version")
    api = interface.core_version
    print(text.value.decode().removeprefix("v"), f"{api.major}.{api.minor}.{api.patch}")


if __name__ == "__main__":
    main()
