"""Devices behind one interface: this machine, Android over adb, Linux over ssh, emulated arm64.

with open_device("ssh:qa@jetson.local") as device:
    device.push(Path("runner"), "runner")
    job = device.start(["./runner", "request.json"], log="events.jsonl")
    for line in follow(device, job):
        ...
"""

from edgeskin.benchmarks.devices.base import Device, Job, Link, Patience
from edgeskin.benchmarks.devices.facts import Facts

__all__ = ["Device", "Facts", "Job", "Link", "Patience"]
