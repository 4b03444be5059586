"""The same promises on every kind of device: this machine, an ssh host, a phone, emulated."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpy.random import default_rng

from edgeskin.benchmarks.devices import Device, Job, Patience, follow, open_device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.errors import DeviceError
from edgeskin.files import sha256

KINDS = ("host", "jetson", "phone")


@pytest.fixture(scope="module", params=KINDS)
def device(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Device]:
    if request.param == "host":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGESKIN_CACHE", str(tmp_path_factory.mktemp("cache")))
            opened = open_device("host", patience=Patience(silence_s=1.0))
    else:
        opened = request.getfixturevalue(f"lab_{request.param}").open()
    with opened:
        yield opened
        opened.clean()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """300 kB that no compression would make smaller, under a name that a shell would trip over."""
    path = tmp_path / "a file; $(name) 'of' it"
    path.write_bytes(default_rng(0).bytes(300_000))
    return path


def sent(device: Device, local: Path, remote: str) -> list[int]:
    """The counts of bytes there that a push reports."""
    counts: list[int] = []
    device.push(local, remote, lambda what, done, total: counts.append(done))
    return counts


def run(device: Device, *argv: str, **env: str) -> list[str]:
    return list(follow(device, device.start(argv, env=env, log="log.txt")))


def test_files_come_back_as_they_went_and_are_sent_once(
    device: Device, file: Path, tmp_path: Path
) -> None:
    assert sent(device, file, f"folder/{file.name}")[-1] == 300_000
    back = tmp_path / "back"
    device.pull(f"folder/{file.name}", back)
    assert sha256(back) == sha256(file)
    assert list(tmp_path.glob("*.part")) == []
    assert sent(device, file, f"folder/{file.name}") == []


def test_a_push_goes_on_where_it_was_cut_off(device: Device, file: Path, tmp_path: Path) -> None:
    part = tmp_path / sha256(file)
    part.write_bytes(file.read_bytes()[:200_000])
    device.push(part, f"part/{part.name}")
    counts = sent(device, file, "resumed")
    assert min(counts) > 200_000
    assert counts[-1] == 300_000


def test_a_damaged_part_is_sent_anew(device: Device, file: Path, tmp_path: Path) -> None:
    part = tmp_path / sha256(file)
    part.write_bytes(bytes(200_000))
    device.push(part, f"part/{part.name}")
    counts = sent(device, file, "repaired")
    assert counts.index(300_000) < len(counts) - 1  # to the end, and once more from the beginning
    device.pull("repaired", tmp_path / "back")
    assert sha256(tmp_path / "back") == sha256(file)


def test_arguments_and_settings_arrive_as_they_are(device: Device) -> None:
    hostile = "a b'c\"d$(touch x)`y`;&|<>*\\ \u00e9"
    script = 'printf "%s\\n" "$1" "$SETTING"; exit 3'
    lines = run(device, "sh", "-c", script, "sh", hostile, SETTING=hostile)
    assert lines == [f"{hostile}\n", f"{hostile}\n", "edgeskin-exit 3\n"]


def test_a_pushed_program_stays_executable(device: Device, tmp_path: Path) -> None:
    program = tmp_path / "say"
    program.write_text("#!/bin/sh\necho said\n")
    program.chmod(0o755)
    device.push(program, "bin/say")
    assert run(device, "bin/say") == ["said\n", "edgeskin-exit 0\n"]


def test_a_last_line_without_an_end_is_kept_apart(device: Device) -> None:
    assert run(device, "printf", "first\nlast") == ["first\n", "last\n", "edgeskin-exit 0\n"]


def test_a_program_may_end_before_it_is_looked_for(device: Device) -> None:
    for _ in range(3):
        assert list(device.stream(device.start(["true"], log="log.txt"))) == ["edgeskin-exit 0\n"]


def test_a_log_is_followed_from_any_byte(device: Device) -> None:
    job = device.start(["sh", "-c", "echo first; echo second"], log="log.txt")
    assert list(follow(device, job))[:2] == ["first\n", "second\n"]
    assert list(device.stream(job, len("first\n"))) == ["second\n", "edgeskin-exit 0\n"]


def test_a_run_outlives_its_connection_and_loses_no_line(device: Device) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done"
    job = device.start(["sh", "-c", script], log="log.txt")
    stream = device.stream(job)
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]
    device.link.reset()
    rest = list(follow(device, job, offset=len(first)))
    assert [first, *rest] == [*(f"{i}\n" for i in range(1, 9)), "edgeskin-exit 0\n"]


def test_a_job_is_ended_with_its_children_and_by_its_own_id_only(device: Device) -> None:
    job = device.start(["sh", "-c", "sleep 1000 & sleep 1000"], log="log.txt")
    device.kill(Job(job.pid, str(int(job.started) - 1), job.log))  # the id, of another time
    assert device.alive(job)
    device.kill(job)
    assert not device.alive(job)
    assert list(device.stream(job)) == ["edgeskin-exit 137\n"]


def test_an_interrupt_ends_jobs_and_those_who_wait_for_them(tmp_path: Path) -> None:
    with Device(HostLink(tmp_path / "work")) as device:
        job = device.start(["sleep", "60"], log="sleep.log")
        interrupting = threading.Timer(0.5, device.interrupt)
        interrupting.start()
        assert list(device.stream(job)) == ["edgeskin-exit 137\n"]
        interrupting.join()
        with pytest.raises(DeviceError, match="interrupted"):
            device.probe()


def test_clean_ends_jobs_and_leaves_nothing(device: Device) -> None:
    job = device.start(["sleep", "1000"], log="log.txt")
    device.clean()
    assert not device.alive(job)
    left = run(device, "ls", "-A")
    assert left == ["jobs\n", "log.txt\n", "edgeskin-exit 0\n"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "-rf", "."])
def test_names_that_lead_out_are_refused(device: Device, file: Path, name: str) -> None:
    with pytest.raises(DeviceError, match="below edgeskin's folder"):
        device.push(file, name)


def test_a_missing_file_is_named(device: Device, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="not-there"):
        device.pull("not-there", tmp_path / "back")


def test_facts(device: Device) -> None:
    facts = device.probe()
    assert facts.cores >= 1
    assert facts.memory_bytes is not None
    assert facts.free_disk_bytes is not None
    if device.name == "host":
        assert facts.machine == os.uname().machine
        assert not facts.emulated
    else:
        assert (facts.machine, facts.emulated) == ("aarch64", True)
        assert "asimd" in facts.features
    if device.name.startswith("adb:"):
        assert (facts.android_api, facts.glibc, facts.abis) == (34, None, ("arm64-v8a",))
    if device.name.startswith("ssh:"):
        assert facts.glibc == "2.36"  # Debian 12's
