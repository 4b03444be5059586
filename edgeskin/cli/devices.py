"""`edgeskin devices`: what answers, and what is wrong with the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Json, SshConfig

if TYPE_CHECKING:
    from edgeskin.benchmarks.devices import Facts
    from edgeskin.errors import EdgeskinError

Names = Annotated[
    list[str] | None, typer.Argument(help="More devices: ssh:USER@HOST[:PORT], emulated:CPU.")
]


def devices(names: Names = None, ssh_config: SshConfig = None, json: Json = False) -> None:
    """Ask this machine, every phone that adb sees, and NAMES; exit 1 if one does not answer."""
    from edgeskin.benchmarks.devices import Facts
    from edgeskin.benchmarks.devices import devices as find

    with console.progress() as progress:
        found = find(names or (), ssh_config=ssh_config, progress=progress)
    if json:
        console.emit(
            {
                name: facts.to_json() if isinstance(facts, Facts) else {"error": str(facts)}
                for name, facts in found.items()
            }
        )
    else:
        rows = [(name, *_row(name, facts)) for name, facts in found.items()]
        console.table("devices", ("name", "system", "processor", "to note"), rows)
    if not all(isinstance(facts, Facts) for facts in found.values()):
        raise typer.Exit(1)


def _row(name: str, facts: Facts | EdgeskinError) -> tuple[str, str, str]:
    """System, processor and what to note about a device; or why it does not answer."""
    if isinstance(facts, Exception):
        return "", "", str(facts).removeprefix(f"{name}: ")
    processor = f"{facts.machine}, {facts.cores} cores, {facts.board or facts.cpu}"
    emulated = ("emulated: its times mean nothing",) if facts.emulated else ()
    return facts.system, processor, "; ".join((*emulated, *facts.problems)) or "ready"
