"""Devices by name, several at once, which answer, and what they say of themselves."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import COMMAND
from lab.jetson import Jetson
from lab.phone import Phone

from edgeskin.benchmarks.devices import (
    Device,
    Facts,
    devices,
    follow,
    open_device,
    reserved,
    together,
)
from edgeskin.benchmarks.devices.emulated import EmulatedLink
from edgeskin.errors import DeviceBusy, DeviceError, DeviceLost, UnknownName


@pytest.mark.parametrize(
    "name",
    [
        "",
        "hosts",
        "adb:",
        "ssh:",
        "adb:-s x",
        "adb:a b",
        "ssh:a b",
        "ssh:-oProxyCommand=x",
        "usb:1",
    ],
)
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UnknownName, match="write (host, )?(adb:SERIAL|ssh:USER@HOST)"):
        open_device(name)


def test_a_reserved_device_is_busy_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESKIN_CACHE", str(tmp_path))
    busy = pytest.raises(DeviceBusy, match="another edgeskin is measuring")
    with reserved(open_device("host")), busy, reserved(open_device("host")):
        pass
    with reserved(open_device("host")):
        pass


def test_two_phones_and_a_jetson_at_once(
    lab_jetson: Jetson, lab_phone: Phone, older_phone: Phone
) -> None:
    """All three run while none has ended; each has a progress line of its own."""
    devices = [lab_jetson.open(), lab_phone.open(), older_phone.open()]
    all_up = threading.Barrier(3, timeout=120)
    told: set[str] = set()

    def work(device: Device) -> list[str]:
        device.push(Path(__file__), "file", lambda what, done, total: told.add(what.split(",")[0]))
        job = device.start(["sh", "-c", "read stop < file; cat /proc/cpuinfo"], log="log.txt")
        all_up.wait()
        lines = list(follow(device, job))
        device.clean()
        return [line.split()[-1] for line in lines if line.startswith("CPU part")][:1]

    # Arm's part numbers: 0xd0b is a Cortex-A76, 0xd03 a Cortex-A53.
    assert list(together(devices, work).values()) == [["0xd0b"], ["0xd0b"], ["0xd03"]]
    assert told == {device.name for device in devices}
    for device in devices:
        device.close()


def test_one_that_fails_keeps_none_from_going_on() -> None:
    def work(device: Device) -> str:
        if device.name != "host":
            raise DeviceError("no")
        return "done"

    with open_device("host") as host, open_device("ssh:a@b") as jetson:
        found = together([host, jetson], work)
    assert found["host"] == "done"
    assert isinstance(found["ssh:a@b"], DeviceError)


def test_survey_says_what_answers_and_what_is_wrong_with_the_rest(
    lab_jetson: Jetson, lab_phone: Phone
) -> None:
    gone = "ssh:jetson@127.0.0.1:1"
    found = devices([lab_jetson.name, gone, "nonsense"], ssh_config=lab_jetson.config)
    assert isinstance(found["host"], Facts)
    assert isinstance(found[lab_jetson.name], Facts)
    assert isinstance(found[lab_phone.name], Facts)  # adb sees it
    assert isinstance(found[gone], DeviceLost)
    assert isinstance(found["nonsense"], UnknownName)


def test_devices_command(lab_jetson: Jetson) -> None:
    config = ["--ssh-config", str(lab_jetson.config)]
    names = [lab_jetson.name, "ssh:jetson@127.0.0.1:1"]
    command = [*COMMAND, "devices", *names, *config, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document[lab_jetson.name]["machine"] == "aarch64"
    assert "Connection refused" in document["ssh:jetson@127.0.0.1:1"]["error"]


def test_heat_clocks_and_power_mode_are_read(lab_jetson: Jetson) -> None:
    zone, clock = "sys/class/thermal/thermal_zone0/", "sys/devices/system/cpu/cpu0/cpufreq/scaling_"
    gpu = "sys/class/devfreq/17000000.ga10b/"
    nvpmodel = "#!/bin/sh\necho 'NV Power Mode: 15W'; echo 0\n"  # as JetPack 5 and 6 print it
    files = {
        **{zone + "type": "cpu-thermal\n", zone + "temp": "71500\n"},
        **{clock + "governor": "schedutil\n", clock + "cur_freq": "729600\n"},
        **{clock + "min_freq": "115200\n", clock + "max_freq": "1510400\n"},
    }
    files |= {gpu + f"{which}_freq": f"{hertz}\n" for which, hertz in GPU_HZ.items()}
    for name, text in files.items():
        lab_jetson.box.write(name, text)
    lab_jetson.box.write("usr/local/bin/nvpmodel", nvpmodel, 0o755)
    with lab_jetson.open() as device:
        facts = device.probe()
    for name in (*files, "usr/local/bin/nvpmodel"):
        lab_jetson.box.remove(name)
    assert facts.temperatures_c == (("cpu-thermal", 71.5),)
    assert facts.clocks_khz == ((115200, 729600, 1510400),)
    assert (facts.gpu_clock_khz, facts.power_mode) == ((306_000, 624_750, 1_020_000), "15W")
    assert set(facts.problems) >= {
        "cpu-thermal at 72 degrees C: it may throttle",
        "clock not fixed (governor schedutil)",
        "GPU clock not fixed (jetson_clocks fixes it)",
        "power mode 15W: nvpmodel may have a faster one",
    }


GPU_HZ = {"min": 306_000_000, "cur": 624_750_000, "max": 1_020_000_000}
PART = r"""#include <stdio.h>
int main(void) {
    unsigned long id;
    __asm__("mrs %0, midr_el1" : "=r"(id));
    printf("%lx\n", id >> 4 & 0xfff);
}"""
VECTORS = r"""#include <cpuid.h>
#include <stdio.h>
int main(void) {
    unsigned a, b, c, d;
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    printf("avx2 %d, avx512_vnni %d\n", b >> 5 & 1, c >> 11 & 1);
}"""


@pytest.mark.usefixtures("can_emulate")
@pytest.mark.parametrize(
    ("cpu", "machine", "code", "said"),
    [
        ("cortex-a53", "aarch64", PART, "d03"),  # Arm's part number
        ("Haswell", "x86_64", VECTORS, "avx2 1, avx512_vnni 0"),
    ],
)
def test_emulated_cpu_runs_programs_as_it_is(
    cpu: str, machine: str, code: str, said: str, compiled: Callable[..., Path], tmp_path: Path
) -> None:
    program = compiled(code, name=cpu, machine=machine)
    with Device(EmulatedLink(cpu, tmp_path / "work")) as device:  # not the user's folder for it
        facts = device.probe()
        device.push(program, "program")
        lines = list(follow(device, device.start(["./program"], log="log.txt")))
        device.clean()
    assert [f"{said}\n", "edgeskin-exit 0\n"] == lines[-2:]  # qemu may warn first
    assert (facts.machine, facts.emulated, facts.glibc) == (machine, True, "2.36")


@pytest.mark.usefixtures("can_emulate")
def test_emulated_cpu_that_is_none() -> None:
    with pytest.raises(UnknownName, match="no such CPU. It has .*cortex-a76"):
        open_device("emulated:cortex-q1")
