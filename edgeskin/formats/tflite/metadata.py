"""What edgeskin stores in a TFLite file: the associated file `edgeskin.json` of its zip archive."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from edgeskin.errors import InvalidArtifact

ENTRY = "edgeskin.json"


def entries(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise InvalidArtifact(f"{path} is not a TFLite file")
    try:
        with zipfile.ZipFile(path) as packed:
            document = json.loads(packed.read(ENTRY))
            if not isinstance(document, dict):
                raise ValueError(f"a {type(document).__name__}")
            document["edgeskin.labels"] = {
                **json.loads(document.get("edgeskin.labels", "{}")),
                **_label_files(packed),
            }
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise InvalidArtifact(
            f"{path} carries no whole {ENTRY}: it is truncated, or converted by "
            "another tool. Convert it with edgeskin convert."
        ) from error
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in document.items()}


def _label_files(packed: zipfile.ZipFile) -> dict[str, list[str]]:
    """The label files by output, for apps that know TFLite Metadata but not edgeskin."""
    names = [name for name in packed.namelist() if name.endswith(".txt")]
    return {name.removesuffix(".txt"): packed.read(name).decode().splitlines() for name in names}
