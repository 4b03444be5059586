"""The kinds of phantom sets, as a table: which there are, and what writes each.

A set is a folder with images/, masks/ and manifest.csv, whose columns are those of the real sets
that its task trains on. The same seed gives the same bytes on every machine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from edgeskin.data import phantoms
from edgeskin.data.phantom_dermoscopy import DERMOSCOPY_SET, MELANOMA_SET
from edgeskin.data.phantom_faces import AGE_SET, FACE_SET
from edgeskin.data.phantom_longshots import LONGSHOT_SET
from edgeskin.data.phantom_ultrasound import ULTRASOUND_SET
from edgeskin.errors import UnknownName
from edgeskin.progress import Progress, silent


class WriteSet(Protocol):
    """Draws a set; arguments, files and errors are those of `phantoms.write_set`."""

    def __call__(
        self,
        folder: Path,
        *,
        train: int,
        val: int,
        test: int,
        seed: int = 0,
        size: int = 256,
        progress: Progress = silent,
    ) -> Path: ...


SETS: Mapping[str, WriteSet] = {
    "acne": phantoms.write_set,
    "faces": FACE_SET.write,
    "ages": AGE_SET.write,
    "dermoscopy": DERMOSCOPY_SET.write,
    "melanoma": MELANOMA_SET.write,
    "longshots": LONGSHOT_SET.write,
    "ultrasound": ULTRASOUND_SET.write,
}


def find_set(kind: str) -> WriteSet:
    """What draws sets of that kind.

    Raises:
        UnknownName: There is no such kind.
    """
    if kind not in SETS:
        raise UnknownName(f"no phantoms of kind '{kind}'; there are {', '.join(sorted(SETS))}")
    return SETS[kind]
