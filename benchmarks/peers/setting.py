"""What a measurement was made on: the machine, the tools and, of a trained run, its images."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from edgeskin.document import Document

# What integer arithmetic may use; the rest of a CPU's flags say nothing here.
_FEATURES = {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve"}


class Machine(Document):
    """The processor, what of it integer arithmetic may use, and the system."""

    processor: str
    cpu_features: tuple[str, ...]
    processors: int | None
    system: str
    python: str


class RunIdentity(Document):
    """A run by its folder's name and the SHA-256 of its weights."""

    name: str
    sha256: str


class Setting(Document):
    """What every measurement of a trained run says beside its figures."""

    run: RunIdentity
    data: str
    calibration_images: int
    test_images: int
    machine: Machine
    tools: dict[str, str]


def machine() -> Machine:
    """This machine."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"(?:flags|Features)\s*: (.*)", text)
    return Machine(
        processor=model[1] if model else platform.processor() or platform.machine(),
        cpu_features=tuple(sorted(_FEATURES & set(flags[1].split()))) if flags else (),
        processors=os.cpu_count(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )
