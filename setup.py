"""Only what pyproject.toml cannot say: the native core is compiled with the package."""

from __future__ import annotations

import sys

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, ExecError, LinkError

NO_COMPILER = """
edgeskin has a core in C++17 that must be compiled, and that failed here ({reason}).
Install a C++ compiler, then install edgeskin again:
  Debian, Ubuntu, JetPack   sudo apt install g++
  Fedora, RHEL              sudo dnf install gcc-c++
  macOS                     xcode-select --install
  anywhere                  pip install ziglang, then set
                            CC="python -m ziglang cc" and CXX="python -m ziglang c++"
"""


class BuildNative(build_ext):
    """Says what to install when there is no compiler."""

    def build_extension(self, ext: object) -> None:
        try:
            super().build_extension(ext)
        except (CCompilerError, CompileError, ExecError, LinkError, OSError) as error:
            sys.exit(NO_COMPILER.format(reason=error))


setup(
    cffi_modules=["edgeskin/native/build.py:ffi"],
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
