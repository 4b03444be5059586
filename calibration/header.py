"""What a program says of itself, read without its graph."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from edgeskin.calibration.record import CalibrationRecord
from edgeskin.errors import InvalidResult, InvalidRun
from edgeskin.models.archive import DOCUMENT, is_exported, read_records
from edgeskin.spec import Spec

FORMAT = 1


@dataclass(frozen=True)
class Header:
    """What a program says of itself beside its graph.

    `calibration` says how the scales were found.
    """

    spec: Spec
    scheme: str
    calibration: CalibrationRecord = field(default_factory=CalibrationRecord)

    def to_json(self) -> str:
        document = {
            "format": FORMAT,
            "spec": self.spec.model_dump(mode="json"),
            "scheme": self.scheme,
            "calibration": self.calibration.to_json(),
        }
        return json.dumps(document)


def read_header(path: Path) -> Header:
    """The header of the program in `path`; its graph, which takes much longer, is not read.

    Raises:
        InvalidRun: Missing, damaged, not a program, or one that a newer edgeskin wrote.
        InvalidSpec: The spec in it does not validate.
    """
    if not path.is_file():
        raise InvalidRun(f"{path} is missing")
    try:
        content = path.read_bytes()
        _refuse_foreign(path)
        document = json.loads(read_records(content)[DOCUMENT])
        version, scheme, calibration = (document[k] for k in ("format", "scheme", "calibration"))
        spec = json.dumps(document["spec"])
    except InvalidRun:
        raise
    except Exception as error:  # zip and JSON raise types of their own
        raise damaged(path, error) from error
    if version != FORMAT:
        raise InvalidRun(
            f"{path} has format {version}; this edgeskin reads {FORMAT}. Upgrade edgeskin."
        )
    try:
        record = CalibrationRecord.from_json(calibration, where="its calibration")
    except InvalidResult as error:
        raise damaged(path, error) from error
    return Header(Spec.from_json(spec, where=f"the spec in {path}"), scheme, record)


def is_program(path: Path) -> bool:
    """Whether a file is a program of edgeskin: an exported graph with a header beside it."""
    if not is_exported(path):
        return False
    with zipfile.ZipFile(path) as file:
        return DOCUMENT in {name.partition("/")[2] for name in file.namelist()}


def _refuse_foreign(path: Path) -> None:
    """An exported network is whole, and yet no program: it has no scales."""
    if is_exported(path) and not is_program(path):
        raise InvalidRun(
            f"{path} is a network exported by torch.export, not a program that edgeskin calibrate "
            f"wrote. Make it a run first: edgeskin import {path} --out RUN."
        )


def damaged(path: Path, error: Exception) -> InvalidRun:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InvalidRun(f"{path} is damaged or not a program of edgeskin ({why}). Calibrate again.")
