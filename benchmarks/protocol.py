"""How a latency is measured: warm-up, how many queries, for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from edgeskin.errors import UnknownName


@dataclass(frozen=True)
class Protocol:
    """One image a query, in random order, until both `queries` and `seconds` are reached.

    Attributes:
        loads: How often the model is loaded; the first load is cold.
        warmup_runs: At least so many queries first, and more until two blocks of 16 have medians
            within 2 % of each other ...
        warmup_s: ... or this time has passed.
        profile_runs: Queries of a session of their own, with the runtime's profiler on.
        sensor_ms: Time between two readings of temperature, clocks and battery.
        seed: Of the order.
    """

    name: str
    loads: int
    warmup_runs: int
    warmup_s: float
    queries: int
    seconds: float
    profile_runs: int = 20
    sensor_ms: int = 1000
    seed: int = 1

    def lines(self) -> Iterable[str]:
        """As the runner's request says it."""
        for item in fields(self):
            if item.name != "name":
                yield f"{item.name} {getattr(self, item.name)}"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("quick", loads=2, warmup_runs=5, warmup_s=2, queries=50, seconds=0),
        Protocol("standard", loads=3, warmup_runs=32, warmup_s=30, queries=1024, seconds=60),
        Protocol("sustained", loads=2, warmup_runs=32, warmup_s=30, queries=1024, seconds=600),
    )
}


def protocol_named(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in PROTOCOLS:
        raise UnknownName(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}, none")
    return PROTOCOLS[name]
