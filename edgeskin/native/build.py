"""Builds `edgeskin.native._edgeskin` (cffi, API mode) from edgeskin.h and src/; run by setup.py.

The header is the one source of the declarations: what cffi cannot read (directives, the export
macro, C++ guards) is taken out, nothing is repeated. API mode lets the C compiler check the rest.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def declarations(header: str) -> str:
    """The header as cffi's `cdef` takes it: declarations, and integer #defines as `...`."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.DOTALL)
    text = re.sub(r"^#define (ES_\w+) \d+\s*$", r"@define \1 ...", text, flags=re.MULTILINE)
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    return text.replace("@define", "#define").replace("ES_API ", "")


def flags() -> list[str]:
    if sys.platform == "win32":
        return ["/std:c++17", "/O2", "/fp:strict"]
    common = ["-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden"]
    return [*common, "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra"]


ffi = FFI()
ffi.cdef(declarations((HERE / "edgeskin.h").read_text(encoding="utf-8")))
ffi.set_source(
    "edgeskin.native._edgeskin",
    '#include "edgeskin.h"',
    sources=[os.path.relpath(path, ROOT) for path in sorted((HERE / "src").glob("*.cpp"))],
    include_dirs=[os.path.relpath(HERE, ROOT)],
    depends=[os.path.relpath(p, ROOT) for p in (HERE / "edgeskin.h", *(HERE / "src").glob("*.h"))],
    extra_compile_args=flags(),
    extra_link_args=[] if sys.platform in ("win32", "darwin") else ["-s"],
    source_extension=".cpp",
    language="c++",
)
