"""What a device is and how it stands, read from the lines that `agent.sh facts` prints."""

from __future__ import annotations

from collections import defaultdict

from pydantic import model_serializer

from edgeskin.document import Document

BATTERY_LOW_PERCENT = 20
HOT_C = 60.0
BUSY = 0.3  # of a core's worth of load, before anything of ours runs


class Facts(Document):
    """A device, as it was when asked. What it does not tell is None (null in JSON) or empty.

    Attributes:
        system: "Linux 5.15.148-tegra", or "Android 14 (API 34), Linux 6.1.75".
        machine: As the kernel names it: "aarch64", "armv7l", "x86_64".
        abis: Android's names of what it runs, the preferred one first.
        board: "NVIDIA Jetson Orin Nano", "Pixel 8".
        cpu: The processor's name, or its part numbers where it gives no name.
        features: Instruction set extensions, as the kernel names them.
        governors: Of each core, in order.
        clocks_khz: (lowest, present, highest) of each core.
        gpu_clock_khz: (lowest, present, highest) of a Jetson's GPU.
        power_mode: Name of a Jetson's (`nvpmodel -q`).
        temperatures_c: Of each thermal zone.
        thermal_status: Android's, 0 (none) to 6 (shutdown).
        load: Average of the last minute, in processes.
        glibc: Version of the C library; None on Android and musl.
        android_api: Level; None elsewhere.
        jetpack: Release line of the Jetson's system (`/etc/nv_tegra_release`).
        tools: NVIDIA's programs that are there, with their paths.
        emulated: Whether an emulator computes: numerics are the machine's, times mean nothing.
        simulated: The accelerator that a simulator computes for ("htp:SM8550"); empty elsewhere.
        problems: What would spoil a measurement, a sentence each.
    """

    system: str = ""
    machine: str = ""
    abis: tuple[str, ...] = ()
    board: str = ""
    cpu: str = ""
    features: tuple[str, ...] = ()
    cores: int = 0
    governors: tuple[str, ...] = ()
    clocks_khz: tuple[tuple[int, int, int], ...] = ()
    gpu_clock_khz: tuple[int, int, int] | None = None
    power_mode: str | None = None
    temperatures_c: tuple[tuple[str, float], ...] = ()
    thermal_status: int | None = None
    battery_percent: int | None = None
    charging: bool | None = None
    load: float | None = None
    memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    free_disk_bytes: int | None = None
    glibc: str | None = None
    android_api: int | None = None
    jetpack: str | None = None
    tools: tuple[str, ...] = ()
    emulated: bool = False
    simulated: str = ""
    problems: tuple[str, ...] = ()

    @model_serializer
    def _with_what_is_unknown(self) -> dict[str, object]:
        return dict(self)


def read_facts(text: str) -> Facts:
    """Facts from "KEY<tab>VALUE" lines; unknown keys are left out, a key may come again."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        key, _, value = line.partition("\t")
        found[key.strip()].append(value.strip().strip("\0"))

    def one(*keys: str) -> str:
        return next((found[key][0] for key in keys if found[key]), "")

    android_api, system = _int(one("ro.build.version.sdk")), one("system")
    if android_api:
        system = f"Android {one('ro.build.version.release')} (API {android_api}), {system}"
    facts = Facts(
        system=system,
        machine=one("machine"),
        abis=tuple(filter(None, one("ro.product.cpu.abilist").split(","))),
        board=one("board", "ro.product.model"),
        cpu=one("cpu model name", "cpu Hardware") or _part(one("cpu CPU part")),
        features=tuple(sorted(one("cpu Features", "cpu flags").split())),
        cores=_cores(one("online")),
        governors=tuple(found["governor"]),
        clocks_khz=tuple(
            (int(low), int(now), int(high))
            for low, now, high in zip(found["min"], found["cur"], found["max"], strict=False)
        ),
        gpu_clock_khz=_gpu_clock([one(f"gpu {which}") for which in ("min", "cur", "max")]),
        power_mode=one("power mode") or None,
        temperatures_c=_temperatures(found["zone"], found["temperature"]),
        thermal_status=_int(one("thermal status")),
        battery_percent=_int(one("battery", "dumpsys level")),
        charging=_charging(one("charging", "dumpsys status")),
        load=float(one("load").split()[0]) if one("load") else None,
        memory_bytes=_kib(one("MemTotal")),
        free_memory_bytes=_kib(one("MemAvailable")),
        free_disk_bytes=_kib(_field(one("disk"), 3)),
        glibc=one("glibc").removeprefix("glibc ") or None,
        android_api=android_api,
        jetpack=one("tegra") or None,
        tools=tuple(dict.fromkeys(found["tool"])),
        emulated=one("ro.boot.qemu") == "1" or _foreign(one("kernel"), one("machine")),
    )
    return facts.model_copy(update={"problems": tuple(_problems(facts))})


def _problems(facts: Facts) -> list[str]:
    """What would make a latency measured now hard to believe."""
    problems = []
    battery, charging, load = facts.battery_percent, facts.charging, facts.load
    if battery is not None and battery < BATTERY_LOW_PERCENT and not charging:
        problems.append(f"battery at {battery} %: the device may slow down to save power")
    hot = [(zone, degrees) for zone, degrees in facts.temperatures_c if degrees >= HOT_C]
    if hot:
        zone, degrees = max(hot, key=lambda pair: pair[1])
        problems.append(f"{zone} at {degrees:.0f} degrees C: it may throttle")
    if facts.thermal_status:
        problems.append(f"Android thermal status {facts.thermal_status}: throttled already")
    if load is not None and load > BUSY * max(facts.cores, 1):
        problems.append(f"load {load:g} on {facts.cores} cores: something else runs there")
    moving = {name for name in facts.governors if name not in ("performance", "userspace")}
    if moving:
        problems.append(f"clock not fixed (governor {', '.join(sorted(moving))})")
    if (clock := facts.gpu_clock_khz) and clock[0] != clock[2]:
        problems.append("GPU clock not fixed (jetson_clocks fixes it)")
    if (mode := facts.power_mode) and not mode.startswith("MAXN"):
        problems.append(f"power mode {mode}: nvpmodel may have a faster one")
    if (free := facts.free_disk_bytes) is not None and free < 200 << 20:
        problems.append(f"{free >> 20} MiB of disk left: packs may not fit")
    return problems


def _foreign(kernel: str, machine: str) -> bool:
    """Whether programs are of another architecture than the kernel: qemu in user mode."""
    return kernel.startswith("x86") and machine.startswith(("aarch64", "arm"))


def _cores(online: str) -> int:
    """Cores of a kernel list such as "0-3,6"."""
    spans = [span.split("-") for span in online.split(",") if span]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


def _gpu_clock(hertz: list[str]) -> tuple[int, int, int] | None:
    if not all(hertz):
        return None
    low, now, high = (int(text) // 1000 for text in hertz)
    return low, now, high


def _temperatures(zones: list[str], values: list[str]) -> tuple[tuple[str, float], ...]:
    """Kernel zones are in thousandths of a degree; those that are off read below zero."""
    degrees = [int(value) / 1000 for value in values]
    return tuple((z, d) for z, d in zip(zones, degrees, strict=False) if 0 < d < 150)


def _charging(status: str) -> bool | None:
    """The kernel's word, or Android's number (2 charging, 5 full)."""
    return status.lower() in ("charging", "full", "2", "5") if status else None


def _part(number: str) -> str:
    return f"CPU part {number}" if number else ""


def _field(text: str, index: int) -> str:
    fields = text.split()
    return fields[index] if len(fields) > index else ""


def _kib(text: str) -> int | None:
    number = _int(text)
    return None if number is None else number << 10


def _int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
