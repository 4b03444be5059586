"""Faults, made for real on the lab's devices: each ends in its time, in one clear line.

The times: a fault may take as long as the device's patience says, and twice that
to tell the log's end from its silence; the tests allow for a busy machine.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab.jetson import Jetson, jetson
from lab.phone import Phone
from numpy.random import default_rng

from edgeskin.benchmarks.devices import Device, Patience, explain, follow
from edgeskin.benchmarks.devices.device import collect
from edgeskin.errors import (
    DeviceDenied,
    DeviceFull,
    DeviceLost,
    DeviceTimeout,
    HostKeyMismatch,
    MissingSymbol,
    ProgramCrashed,
    RunFailed,
    SystemTooOld,
    TransferCorrupted,
    WrongArchitecture,
)
from edgeskin.files import sha256

HASTY = Patience(answer_s=15.0, stall_s=5.0, silence_s=1.0)
FROZEN = Patience(answer_s=3.0, stall_s=3.0, silence_s=1.0)  # with a device that cannot answer
Compile = Callable[..., Path]
SIZE = 12 << 20  # more than all buffers on the way hold


@pytest.fixture(params=("jetson", "phone"))
def peer(request: pytest.FixtureRequest) -> Jetson | Phone:
    up: Jetson | Phone = request.getfixturevalue(f"lab_{request.param}")
    return up


@pytest.fixture
def device(peer: Jetson | Phone) -> Iterator[Device]:
    with peer.open(HASTY) as opened:
        yield opened
    peer.box.mend()
    with peer.open() as opened:
        opened.clean()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "big"
    path.write_bytes(default_rng(0).bytes(SIZE))
    return path


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@contextmanager
def frozen(device: Device) -> Iterator[None]:
    """Little patience, for a device that is being frozen."""
    device.patience = FROZEN
    with ends_within(60):
        yield
    device.patience = HASTY


class Midway:
    """A `Progress` that does something once, when most of the bytes are on their way.

    So many, because what fills the buffers on the way is lost with the link; of a pull fewer will
    do (`share`), for what is in the buffers arrives.
    """

    def __init__(self, act: Callable[[], object], share: float = 0.75) -> None:
        self.act, self.share, self.first = act, share, None

    def __call__(self, what: str, done: int, total: int) -> None:
        self.first = done if self.first is None else self.first
        if done > total * self.share and self.act is not None:
            act, self.act = self.act, None
            act()


def resumes(peer: Jetson | Phone, device: Device, big: Path) -> None:
    """A second push goes on: it starts beyond the first block, and what arrives is whole."""
    seen = Midway(lambda: None)
    device.push(big, "big", seen)
    assert seen.first is not None
    assert seen.first > 1 << 16
    assert device._ask("digest", "big").split() == [str(SIZE), sha256(big)]


def test_daemon_killed_in_mid_push(peer: Jetson | Phone, device: Device, big: Path) -> None:
    with ends_within(60), pytest.raises(DeviceLost, match=f"{peer.name}: .*"):
        device.push(big, "big", Midway(peer.box.stop))
    peer.box.start()
    resumes(peer, device, big)


def test_daemon_frozen_in_mid_push(peer: Jetson | Phone, device: Device, big: Path) -> None:
    with frozen(device), pytest.raises(DeviceTimeout, match="no answer for 3 s"):
        device.push(big, "big", Midway(peer.box.freeze))
    peer.box.thaw()
    resumes(peer, device, big)


def test_daemon_killed_in_mid_pull(
    peer: Jetson | Phone, device: Device, big: Path, tmp_path: Path
) -> None:
    device.push(big, "big")
    with ends_within(60), pytest.raises(DeviceLost, match=peer.name):
        device.pull("big", tmp_path / "back", Midway(peer.box.stop, share=0.25))
    assert not (tmp_path / "back").exists()
    peer.box.start()
    seen = Midway(lambda: None)
    device.pull("big", tmp_path / "back", seen)
    assert seen.first > 1 << 16
    assert sha256(tmp_path / "back") == sha256(big)


def test_daemon_back_while_results_are_collected(
    peer: Jetson | Phone, device: Device, tmp_path: Path
) -> None:
    (tmp_path / "small").write_bytes(b"results")
    device.push(tmp_path / "small", "small")
    peer.box.stop()
    back = threading.Timer(2.0, peer.box.start)
    back.start()
    with ends_within(60):
        collect(device, "small", tmp_path / "back")
    back.join()
    assert (tmp_path / "back").read_bytes() == b"results"


COUNT = ["sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.5; done"]
COUNTED = [*(f"{i}\n" for i in range(1, 6)), "edgeskin-exit 0\n"]


def test_daemon_killed_in_mid_run(peer: Jetson | Phone, device: Device) -> None:
    lines = follow(device, device.start(COUNT, log="log.txt"))
    first = next(lines)
    peer.box.stop()
    peer.box.start()
    assert [first, *lines] == COUNTED


def test_daemon_frozen_in_mid_run(peer: Jetson | Phone, device: Device) -> None:
    job = device.start(COUNT, log="log.txt")
    lines = follow(device, job, reconnect_s=0)
    received = [next(lines)]
    peer.box.freeze()
    with frozen(device), pytest.raises(DeviceTimeout, match="no answer for 3 s"):
        received += lines
    peer.box.thaw()
    offset = sum(map(len, received))
    assert received + list(follow(device, job, offset)) == COUNTED


def test_device_gone(peer: Jetson | Phone, device: Device) -> None:
    peer.box.stop()
    try:
        with ends_within(60), pytest.raises(DeviceLost, match="refused|reset|not see it|offline"):
            device.probe()
    finally:
        peer.box.start()
    assert device.probe().machine == "aarch64"


def test_disk_full_in_mid_push(peer: Jetson | Phone, device: Device, big: Path) -> None:
    peer.box.resize_disk(peer.box.used_disk_kib() // 1024 + 6)
    with ends_within(60), pytest.raises(DeviceFull, match="disk is full.*Free some space"):
        device.push(big, "big")
    peer.box.resize_disk(512)
    resumes(peer, device, big)


def test_disk_full_in_mid_run(peer: Jetson | Phone, device: Device) -> None:
    peer.box.resize_disk(peer.box.used_disk_kib() // 1024 + 4)
    job = device.start(["sh", "-c", "head -c 9000000 /dev/zero > filler; echo x"], log="log.txt")
    lines = list(follow(device, job))
    found = explain(device.name, None, lines, device.probe().free_disk_bytes)
    peer.box.resize_disk(512)
    check(found, DeviceFull, "disk is full")


def test_no_permission(peer: Jetson | Phone, device: Device, big: Path) -> None:
    """edgeskin's folder is there, and another's."""
    device.clean()
    home = "" if device.link.work.startswith("/") else "home/jetson/"
    peer.box.write(f"{home}{device.link.work}/theirs", "", user=0)
    with ends_within(60), pytest.raises(DeviceDenied, match="must be ours"):
        device.push(big, "big")
    peer.box.remove(f"{home}{device.link.work}")


@pytest.fixture
def jetson_device(lab_jetson: Jetson) -> Iterator[Device]:
    with lab_jetson.open() as opened:
        yield opened
        opened.clean()


def failure(device: Device, *argv: str) -> Exception:
    """What `explain` makes of a program that fails."""
    *log, last = follow(device, device.start(argv, log="log.txt"))
    return explain(device.name, int(last.split()[1]), log)


def check(found: Exception, kind: type[Exception], words: str) -> None:
    assert type(found) is kind, found
    assert words in str(found)
    assert "\n" not in str(found)


def test_wrong_architecture(jetson_device: Device, compiled: Compile) -> None:
    """A program whose header names a processor that this kernel runs nothing for."""
    program = compiled("int main(void) { return 0; }", name="for-riscv")
    code = bytearray(program.read_bytes())
    code[18:20] = (243).to_bytes(2, "little")  # e_machine, EM_RISCV
    program.write_bytes(code)
    jetson_device.push(program, "program")
    check(failure(jetson_device, "./program"), WrongArchitecture, "another processor")


def test_program_without_its_loader(device: Device, compiled: Compile) -> None:
    """A program for glibc on a phone, and one for musl on a Debian."""
    musl = ["-Wl,-dynamic-linker,/lib/ld-musl-aarch64.so.1"]
    options = musl if device.name.startswith("ssh") else []
    device.push(compiled("int main(void) { return 0; }", *options), "program")
    check(failure(device, "./program"), WrongArchitecture, "loader")


def test_missing_symbol(jetson_device: Device, compiled: Compile) -> None:
    library = ["-shared", "-fPIC", "-Wl,-soname,libfull.so"]
    with_it = compiled("int model_open(void) { return 0; }", *library, name="libfull.so")
    without = compiled("int other(void) { return 0; }", *library, name="libbare.so")
    code = "int model_open(void); int main(void) { return model_open(); }"
    program = compiled(code, str(with_it), "-Wl,-rpath,$ORIGIN")
    jetson_device.push(program, "program")
    check(failure(jetson_device, "./program"), MissingSymbol, "libfull.so")
    jetson_device.push(without, "libfull.so")
    check(failure(jetson_device, "./program"), MissingSymbol, "model_open")
    jetson_device.push(with_it, "libfull.so")
    assert list(follow(jetson_device, jetson_device.start(["./program"], log="log.txt"))) == [
        "edgeskin-exit 0\n"
    ]


def test_glibc_too_old(jetson_device: Device, compiled: Compile) -> None:
    """A program that names a version of the C library which no device has yet."""
    program = compiled("int main(void) { return 0; }", name="for-a-newer-glibc")
    program.write_bytes(program.read_bytes().replace(b"GLIBC_2.17", b"GLIBC_2.99"))
    jetson_device.push(program, "program")
    check(failure(jetson_device, "./program"), SystemTooOld, "GLIBC_2.99")


def test_crash_keeps_what_was_said(device: Device) -> None:
    job = device.start(["sh", "-c", "echo '{\"sample\": 1}'; kill -SEGV $$"], log="log.txt")
    lines = list(follow(device, job))
    assert lines[0] == '{"sample": 1}\n'
    check(explain(device.name, int(lines[-1].split()[1]), lines), ProgramCrashed, "SIGSEGV")


def test_killed_from_outside(peer: Jetson | Phone, device: Device) -> None:
    """As the kernel does when memory runs out: runner and what watches it are gone at once."""
    job = device.start(["sh", "-c", "echo up; while :; do sleep 1; done"], log="log.txt")
    lines = follow(device, job)
    assert next(lines) == "up\n"
    peer.box.signal("sh", signal.SIGKILL)
    with ends_within(60):
        assert list(lines) == []
    check(explain(device.name, None, []), ProgramCrashed, "without an exit code")


def test_error_of_the_programs_own(device: Device) -> None:
    found = failure(device, "sh", "-c", "echo 'no model in pack' >&2; exit 4")
    check(found, RunFailed, "ended with code 4 (no model in pack)")


def test_storage_that_damages_what_it_keeps(lab_jetson: Jetson, big: Path) -> None:
    lab_jetson.box.write("usr/local/bin/cat", "#!/bin/sh\nexec tr ab bb\n", 0o755)
    with lab_jetson.open() as device:
        with pytest.raises(TransferCorrupted, match="arrived damaged twice.*Check the cable"):
            device.push(big, "damaged")
        lab_jetson.box.remove("usr/local/bin/cat")
        device.push(big, "damaged")
        device.clean()


def test_changed_host_key(lab_jetson: Jetson) -> None:
    known = lab_jetson.known_hosts.read_text()
    other = lab_jetson.config.with_name("account.pub").read_text()
    lab_jetson.known_hosts.write_text(f"{known.split()[0]} {other}")
    try:
        with pytest.raises(HostKeyMismatch, match="not the known one.*Compare the fingerprint"):
            lab_jetson.open().probe()
    finally:
        lab_jetson.known_hosts.write_text(known)


def test_unknown_host_key(lab_jetson: Jetson) -> None:
    known = lab_jetson.known_hosts.read_text()
    lab_jetson.known_hosts.write_text("")
    try:
        with pytest.raises(HostKeyMismatch, match="not known here yet.*Connect once by hand"):
            lab_jetson.open().probe()
    finally:
        lab_jetson.known_hosts.write_text(known)


def test_key_that_the_host_does_not_accept(lab_jetson: Jetson) -> None:
    config = lab_jetson.config.with_name("no-keys")
    config.write_text(lab_jetson.config.read_text().replace("/account", "/host"))
    with pytest.raises(DeviceDenied, match="accepts none of our keys"):
        type(lab_jetson)(lab_jetson.box, lab_jetson.name, config, config).open().probe()


JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
/* Every look at the wall clock finds it a day off, now this way and now that. */
static int day(void) { static int n; return (n++ % 2 ? 1 : -1) * 86400; }
int clock_gettime(clockid_t which, struct timespec *t) {
    int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = next(which, t);
    if (!failed && which == CLOCK_REALTIME) t->tv_sec += day();
    return failed;
}
time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec s;
    clock_gettime(CLOCK_REALTIME, &s);
    t->tv_sec = s.tv_sec, t->tv_usec = s.tv_nsec / 1000;
    return 0;
}
"""


def test_wall_clock_that_jumps(arm64_runs_here: None, compiled: Compile) -> None:
    """Every program of a session sees it; files, jobs and logs do not go by it."""
    shim = compiled(JUMPING_CLOCK, "-shared", "-fPIC", name="jump.so")
    with jetson(environment={"LD_PRELOAD": "/home/jetson/jump.so"}) as host, host.open() as device:
        device.push(shim, "jump.so")
        move = "cp jump.so /home/jetson/ && echo moved"
        assert "moved\n" in follow(device, device.start(["sh", "-c", move], log="log.txt"))
        years = list(follow(device, device.start(["date", "+%s"], log="log.txt")))
        assert abs(int(years[-2]) - time.time()) > 80_000
        job = device.start(COUNT, log="log.txt")
        assert list(follow(device, job)) == COUNTED
        assert not device.alive(job)
        device.clean()
