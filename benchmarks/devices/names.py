"""Devices by name, several at once, and which of them answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from edgeskin.benchmarks.devices.adb import AdbLink, listed
from edgeskin.benchmarks.devices.device import Device, Link, Patience, interrupt_all
from edgeskin.benchmarks.devices.emulated import EmulatedLink
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.devices.simulated import SIMULATORS, SimulatedLink, find_simulator
from edgeskin.benchmarks.devices.ssh import SshLink
from edgeskin.benchmarks.store import cache_folder
from edgeskin.errors import DeviceBusy, EdgeskinError, MissingPackage, UnknownName
from edgeskin.progress import Progress, silent

Result = TypeVar("Result")

FORMS = (
    "host, adb:SERIAL, ssh:USER@HOST[:PORT], emulated:CPU, simulated:htp[:CHIP] or "
    "simulated:gpu[:fp32]"
)


def open_device(
    name: str,
    *,
    ssh_config: Path | None = None,
    patience: Patience | None = None,
    progress: Progress = silent,
) -> Device:
    """The device of that name; nothing is asked of it yet.

    Args:
        name: "host", "adb:SERIAL", "ssh:USER@HOST[:PORT]", "emulated:CPU" or
            "simulated:WHAT".
        ssh_config: Another file than `~/.ssh/config`.
        progress: Progress; the first emulated CPU fetches qemu, which takes a minute.

    Raises:
        UnknownName: No device has such a name.
        MissingPackage: adb or ssh is not installed.
    """
    return Device(_link(name, ssh_config, progress), patience)


def device_under(name: str) -> str | None:
    """The device that `--under NAME` means, None where it is no such name.

    `htp` and `gpu` are short for `simulated:...`; what is neither simulated nor emulated is a
    device to be benched.

    Raises:
        UnknownName: No such chip or arithmetic.
    """
    kind, _, rest = name.partition(":")
    if kind == "emulated" and rest:
        return name
    what = rest if kind == "simulated" else name
    if what.partition(":")[0] not in SIMULATORS:
        return None
    simulator, variant = find_simulator(what)
    simulator.options(variant)
    return f"simulated:{what}"


def _link(name: str, ssh_config: Path | None, progress: Progress) -> Link:
    kind, _, rest = name.partition(":")
    work = cache_folder() / "work" / re.sub(r"[^\w.-]", "-", name)
    if name == "host":
        return HostLink(work)
    if kind == "adb" and rest:
        return AdbLink(rest)
    if kind == "ssh" and rest:
        return SshLink(rest, ssh_config)
    if kind == "emulated" and rest:
        return EmulatedLink(rest, work, progress)
    if kind == "simulated" and rest:
        return SimulatedLink(rest, work, progress)
    raise UnknownName(f"device {name!r}: write {FORMS}")


@contextmanager
def reserved(device: Device) -> Iterator[None]:
    """Hold a device against other edgeskin processes: two would spoil each other's figures.

    Raises:
        DeviceBusy: Another process of this machine holds it.
    """
    from filelock import FileLock, Timeout

    place = cache_folder() / "work" / (re.sub(r"[^\w.-]", "-", device.name) + ".lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise DeviceBusy(f"{device.name}: another edgeskin is measuring on it") from error
    try:
        yield
    finally:
        lock.release()


def together(
    devices: Sequence[Device], work: Callable[[Device], Result]
) -> dict[str, Result | EdgeskinError]:
    """`work` on all devices at once; what one raises keeps none of the others from going on."""

    def one(device: Device) -> Result | EdgeskinError:
        try:
            return work(device)
        except EdgeskinError as error:
            return error

    with ThreadPoolExecutor(max(len(devices), 1)) as pool:
        try:
            return dict(zip([d.name for d in devices], pool.map(one, devices), strict=True))
        except KeyboardInterrupt:
            interrupt_all()  # so that the threads end, for which the block waits
            raise


def devices(
    names: Sequence[str] = (),
    *,
    ssh_config: Path | None = None,
    patience: Patience | None = None,
    progress: Progress = silent,
) -> Mapping[str, Facts | EdgeskinError]:
    """What each device is, or why it does not answer.

    These are this machine, every phone that adb sees, and `names`: hosts on the
    network are asked only when named.
    """
    found: dict[str, Facts | EdgeskinError] = {}
    opened = []
    for name in dict.fromkeys(("host", *_phones(), *names)):
        try:
            opened.append(
                open_device(name, ssh_config=ssh_config, patience=patience, progress=progress)
            )
        except EdgeskinError as error:
            found[name] = error
    try:
        return {**together(opened, Device.probe), **found}
    finally:
        for device in opened:
            device.close()


def _phones() -> list[str]:
    try:
        return [f"adb:{serial}" for serial in listed()]
    except MissingPackage:
        return []
