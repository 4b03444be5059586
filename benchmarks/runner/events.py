"""The runner's events, one JSON object a line, as they arrive from a device."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.explain import explain
from edgeskin.benchmarks.devices.pipes import END
from edgeskin.errors import RunFailed

Event = dict[str, Any]
_REMARKS = ("INFO", "WARNING", "VERBOSE")  # LiteRT tells so of every library that it tries


@dataclass
class Events:
    """Everything that one run of the runner said.

    Attributes:
        all: Its events, in order.
        noise: Lines that are no events: what the runtimes print, and a crash's last words.
    """

    all: list[Event] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)

    def add(self, line: str) -> Event | None:
        """Take one line; a line that is no whole event is noise."""
        text = line.strip()
        if text.startswith('{"event":'):
            try:
                self.all.append(json.loads(text))
                return self.all[-1]
            except ValueError:
                pass  # cut off in the middle: the disk was full, or the process was killed
        if text:
            self.noise.append(text)
        return None

    @classmethod
    def of(cls, lines: Iterable[str]) -> Events:
        events = cls()
        for line in lines:
            events.add(line)
        return events

    def named(self, name: str) -> list[Event]:
        return [event for event in self.all if event["event"] == name]

    def last(self, name: str) -> Event | None:
        """The last event of a name; None where the runner never said it."""
        return next((event for event in reversed(self.all) if event["event"] == name), None)

    def one(self, name: str) -> Event:
        """The last event of a name; raises RunFailed where the runner did not come that far."""
        if (event := self.last(name)) is None:
            raise RunFailed(f"the runner never said '{name}': {self.last_words()}")
        return event

    @property
    def ended_well(self) -> bool:
        end = self.named("end")
        return bool(end) and bool(end[-1]["ok"])

    def check_ended(self, device: Device) -> None:
        """Raise why the runner failed, by its own word or by its exit code and what was printed."""
        if not self.ended_well:
            code = self._exit_code()
            left = device.probe().free_disk_bytes if code is None else None
            raise explain(device.name, code, self._said(), left)

    def _said(self) -> list[str]:
        """The noise; where the runner says why it failed, without what a runtime only remarks."""
        errors = self._errors()
        remarks = _REMARKS if errors else ()
        return [line for line in self.noise if not line.startswith(remarks)] + errors

    def last_words(self) -> str:
        return " | ".join(self._errors() or self.noise[-3:] or ["it gave no reason"])

    def _errors(self) -> list[str]:
        return [str(event["error"]) for event in self.named("end") if "error" in event]

    def _exit_code(self) -> int | None:
        codes = [line.removeprefix(END) for line in self.noise if line.startswith(END)]
        return int(codes[-1]) if codes else None
