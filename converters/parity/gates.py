"""Whether an artifact is the one it should be, from what `verify` measured: faults, a line each.

Floors (`floors.py`) are for a file that is wrong, not for one that is imprecise; a
gate of one's own (`--min-sqnr-db`) stands in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeskin.artifacts import Metadata
from edgeskin.converters.parity.diagnose import NONE_FITS
from edgeskin.converters.parity.reference import Model


def faults(document: Mapping[str, Any], min_sqnr_db: float | None = None) -> list[str]:
    """Why the artifact is not that of its reference; empty where nothing speaks against it."""
    found, cause = [], document.get("cause")
    floor = document.get("floor_db") if min_sqnr_db is None else min_sqnr_db
    sqnr = document["sqnr_db"]
    if floor is not None and not sqnr >= floor:
        what = "the gate" if min_sqnr_db is not None else f"the floor of {document['precision']}"
        none_fits = f". {NONE_FITS}" if "cause" in document and min_sqnr_db is None else ""
        why = f": {cause['line']}" if cause else none_fits
        found.append(f"SQNR is {sqnr:.1f} dB, {what} is {floor:g} dB{why}")
    elif cause:
        found.append(cause["line"])
    return [*found, *document.get("disagrees", ())]


def disagrees(path: Path, metadata: Metadata, model: Model) -> list[str]:
    """What a file says of itself that is not so of its reference, and not so of its program."""
    return [*other_weights(metadata.weights_sha256, model), *_other_program(path, model)]


def other_weights(theirs: str, model: Model) -> list[str]:
    """Of what says that it was made from the weights `theirs`, by hash; "" where it does not."""
    ours = model.weights_sha256
    if not (ours and theirs) or ours == theirs:
        return []
    return [
        f"it was made from the weights {theirs[:16]}..., the reference has {ours[:16]}...: another "
        "epoch or another run. Pass the run that it was made from, or convert this one"
    ]


def _other_program(path: Path, model: Model) -> list[str]:
    """Of a program as reference: integers and scales that the file has not."""
    from torch import fx

    from edgeskin.converters.audit.examine import examine
    from edgeskin.converters.audit.stored import differences
    from edgeskin.converters.audit.verdict import integers

    if not isinstance(model.network, fx.GraphModule):
        return []
    audit, stored = examine(path)
    return [*integers(model.network, audit, {}), *differences(model.network, stored)]
