"""`edgeskin import`: somebody else's network becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli.options import Force, Trust


def import_(
    model: Annotated[str, typer.Option(help="package.module:factory")],
    weights: Annotated[Path, typer.Option(help="State dict: .safetensors, or .pth of tensors.")],
    spec: Annotated[Path, typer.Option(help="spec.json; its arch fields are filled in.")],
    out: Annotated[Path, typer.Option(help="The run: a folder to make.")],
    model_args: Annotated[str, typer.Option(help="Arguments of the factory, as JSON.")] = "{}",
    force: Force = False,
    trust: Trust = False,
) -> None:
    """Bring your own network: a factory, its weights and a spec."""
    from edgeskin.models.importing import import_run

    import_run(model, weights, spec, out, model_args=model_args, force=force, trust=trust)
    print(out)
