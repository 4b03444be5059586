"""What a run folder holds; to be asked without torch."""

from __future__ import annotations

from pathlib import Path

from edgeskin.errors import InvalidRun

WEIGHTS, GRAPH = "weights.safetensors", "network.pt2"


def network_file(folder: Path) -> Path:
    """The file of a run that holds its weights.

    Raises:
        InvalidRun: There is none.
    """
    for name in (GRAPH, WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    raise InvalidRun(f"{folder} has a spec but no weights.safetensors. Train or import it.")
