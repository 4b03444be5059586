"""Devices behind one interface: here, over adb or ssh, emulated, simulated.

with open_device("ssh:qa@jetson.local") as device:
    device.push(Path("runner"), "runner")
    job = device.start(["./runner", "request.json"], log="events.jsonl")
    for line in follow(device, job):
        ...
"""

from edgeskin.benchmarks.devices.device import Device, Job, Patience, follow
from edgeskin.benchmarks.devices.explain import explain
from edgeskin.benchmarks.devices.facts import Facts
from edgeskin.benchmarks.devices.names import devices, open_device, reserved, together
from edgeskin.progress import Progress

__all__ = [
    "Device",
    "Facts",
    "Job",
    "Patience",
    "Progress",
    "devices",
    "explain",
    "follow",
    "open_device",
    "reserved",
    "together",
]
