"""`edgeskin models`: tasks and networks."""

from __future__ import annotations

from edgeskin.cli import console
from edgeskin.cli.options import Json


def models(json: Json = False) -> None:
    """List the tasks and the networks that edgeskin trains."""
    from edgeskin.models import ARCHS
    from edgeskin.tasks import TASKS

    if json:
        console.emit(
            {
                "tasks": {t.name: t.summary for t in TASKS.values()},
                "networks": {
                    a.name: {"pretrained": a.pretrained, "note": a.note} for a in ARCHS.values()
                },
            }
        )
        return
    console.table("tasks", ("name", ""), [(t.name, t.summary) for t in TASKS.values()])
    rows = [(a.name, a.pretrained or "-", a.note) for a in ARCHS.values()]
    console.table("networks", ("name", "pretrained weights", ""), rows)
