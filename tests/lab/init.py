"""The first process of a device in the lab: mounts its disks, runs its daemon, reaps its orphans.

Runs as a script, as process 1 of a pid and mount namespace of its own, so that
all of the device is gone when it ends; it ends when its stdin does. Takes one
JSON object a line and answers each with a line. Standard library only.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    box = json.loads(sys.argv[1])
    root = mount_root(Path(box["root"]), Path(box["scratch"]), box["disk_mib"])
    for name, (text, mode, user) in box["files"].items():
        write(root / name.lstrip("/"), text, mode, user)
    say(ready=True)
    while True:
        if select.select([sys.stdin], [], [], 0.2)[0]:
            if not (line := sys.stdin.readline()):
                return
            obey(json.loads(line), box, root)
        reap()


def obey(order: dict[str, Any], box: dict[str, Any], root: Path) -> None:
    if order["do"] == "start":
        say(pid=start(root, box["daemon"], box["environment"], box["user"]))
    elif order["do"] == "signal":
        say(pids=send(root, order["name"], order["signal"]))
    elif order["do"] == "write":
        write(root / order["name"].lstrip("/"), order["text"], order["mode"], order["user"])
        say(written=True)
    elif order["do"] == "remove":
        remove(root / order["name"].lstrip("/"))
        say(removed=True)
    elif order["do"] == "run":
        say(output=subprocess.run(order["command"], capture_output=True, text=True).stdout)


def mount_root(lower: Path, scratch: Path, disk_mib: int) -> Path:
    """The device's files: `lower` below a disk in memory, with /proc and /dev."""
    mount("-t", "tmpfs", "-o", f"size={disk_mib}m,mode=755", "disk", scratch)
    root, upper, work = (scratch / name for name in ("root", "upper", "work"))
    for folder in (root, upper, work):
        folder.mkdir()
    mount("-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "root", root)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "mode=755", "dev", root / "dev")
    for name in ("null", "zero", "random", "urandom", "tty"):
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", root / "dev" / name)
    (root / "dev/pts").mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "pts", root / "dev/pts")
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    (root / "dev/fd").symlink_to("/proc/self/fd")
    return root


def start(root: Path, argv: list[str], environment: dict[str, str], user: int) -> int:
    """Run a program inside, as `user`; its output goes to ours (stderr)."""
    if pid := os.fork():
        return pid
    os.chroot(root)
    os.chdir("/")
    os.dup2(2, 1)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    os.execve(argv[0], argv, environment)


def send(root: Path, name: str, signal: int) -> list[int]:
    """Send a signal to every process of that name."""
    found = []
    for entry in root.glob("proc/[0-9]*/comm"):
        pid = int(entry.parent.name)
        if pid != 1 and entry.read_text().strip() == name:
            os.kill(pid, signal)
            found.append(pid)
    return found


def write(path: Path, text: str, mode: int, user: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, user, user)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
