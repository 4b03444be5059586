"""`emulated:CPU`: this machine, with programs run as that CPU by qemu.

A check of a processor's numerics without it: arm64 without a phone, x86 without
VNNI ("Haswell") on a newer one. The kernels are the real ones, so outputs are to
be believed and times are not. Needs no root; fetches qemu and the C and C++
libraries of Debian 12 once (about 100 MB, cached).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.emulation.qemu import machine_of, qemu
from edgeskin.benchmarks.emulation.sysroot import runtime_root
from edgeskin.progress import Progress, silent


class EmulatedLink(HostLink):
    """As `host`, for programs of another processor.

    Args:
        cpu: qemu's name of it: "cortex-a53", "cortex-a76", "neoverse-n2", "max" (arm64),
            "Haswell", "EPYC" (x86_64; qemu has no AVX-512).

    Raises:
        UnknownName: qemu has no such CPU.
        NotSupportedHere: qemu and the libraries cannot be had here.
    """

    def __init__(self, cpu: str, work: Path, progress: Progress = silent) -> None:
        super().__init__(work)
        self.name = f"emulated:{cpu}"
        self.cpu = cpu
        progress(f"{self.name}, qemu", 0, 2)
        self.machine = machine_of(cpu)
        progress(f"{self.name}, {self.machine} libraries", 1, 2)
        self.root = runtime_root(self.machine)
        progress(f"{self.name}, ready", 2, 2)

    def launch(self, argv: Sequence[str]) -> list[str]:
        return [str(qemu(self.machine)), "-cpu", self.cpu, "-L", str(self.root), *argv]

    def describe(self, facts: Facts) -> Facts:
        """Of the machine underneath, only what the emulated one shares with it."""
        return facts.model_copy(
            update={
                "machine": self.machine,
                "cpu": f"{self.cpu} emulated on {facts.cpu or facts.machine}",
                "features": (),
                "governors": (),
                "clocks_khz": (),
                "glibc": "2.36",
                "emulated": True,
                "problems": (),
            }
        )
