"""What a run folder holds; to be asked without torch."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open

from edgeskin.conversion import Trained
from edgeskin.errors import InvalidResult, InvalidRun
from edgeskin.figures import Evaluation

WEIGHTS, GRAPH, METRICS = "weights.safetensors", "network.pt2", "metrics.json"


def network_file(folder: Path) -> Path:
    """The file of a run that holds its weights.

    Raises:
        InvalidRun: There is none.
    """
    for name in (GRAPH, WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    raise InvalidRun(f"{folder} has a spec but no weights.safetensors. Train or import it.")


def check_network(folder: Path) -> Path:
    """`network_file`, found to be whole by its index and its length; it is not read.

    Raises:
        InvalidRun: There is none, or it is cut off or of another kind.
    """
    path = network_file(folder)
    try:
        with safe_open(path, "numpy") if path.name == WEIGHTS else zipfile.ZipFile(path):
            return path
    except (SafetensorError, zipfile.BadZipFile, OSError) as error:
        raise InvalidRun(f"{path} is damaged or not a weights file: {error}") from error


def read_trained(folder: Path) -> Trained | None:
    """What the training of a run gave, without tables of classes; None of an imported one."""
    try:
        record = json.loads((folder / METRICS).read_bytes())
        trained = Trained.from_json({"started_from": record.get("started_from", "")})
    except (OSError, ValueError, AttributeError, InvalidResult):
        return None
    for split in ("test", "val"):
        with suppress(InvalidResult):  # null, where the data had no such split
            figures = Evaluation.from_json(record.get(split)).model_copy(update={"per_class": {}})
            return trained.model_copy(update={"split": split, "figures": figures})
    return trained
