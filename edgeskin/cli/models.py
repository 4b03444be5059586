"""`edgeskin models`: tasks, networks, recipes, and what others published."""

from __future__ import annotations

from dataclasses import asdict

from edgeskin.cli import console
from edgeskin.cli.options import Json


def models(json: Json = False) -> None:
    """List tasks, networks and recipes that edgeskin trains, and figures of such systems."""
    from edgeskin.models import ARCHS
    from edgeskin.tasks import TASKS
    from edgeskin.tasks.published import PUBLISHED
    from edgeskin.training.recipe import read_recipe, recipes

    known = {name: read_recipe(path) for name, path in recipes().items()}

    if json:
        console.emit(
            {
                "tasks": {t.name: t.summary for t in TASKS.values()},
                "networks": {
                    a.name: {"pretrained": a.pretrained, "note": a.note} for a in ARCHS.values()
                },
                "recipes": known,
                "published": {
                    task: [asdict(row) for row in rows] for task, rows in PUBLISHED.items()
                },
            }
        )
        return
    console.table("tasks", ("name", ""), [(t.name, t.summary) for t in TASKS.values()])
    rows = [(a.name, a.pretrained or "-", a.note) for a in ARCHS.values()]
    console.table("networks", ("name", "pretrained weights", ""), rows)
    shown = ("task", "arch", "summary")
    settings = [(name, *(str(r[key]) for key in shown)) for name, r in known.items()]
    console.table("recipes (train --recipe NAME)", ("name", "task", "network", ""), settings)
    figures = [
        (task, row.network, ", ".join(map(" ".join, row.figures())), row.data, row.doi or "")
        for task, rows in PUBLISHED.items()
        for row in rows
    ]
    columns = ("task", "network", "figures", "on", "DOI")
    console.table("published by others, on other data than docs/systems", columns, figures)
