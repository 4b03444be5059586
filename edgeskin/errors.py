"""Every error edgeskin raises on purpose.

The command line turns any of them into one line on stderr and exit code 2, so
a message says what disagreed, both values, the likely cause and the next step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class EdgeskinError(Exception):
    """Base of all errors below; catch it to catch whatever edgeskin refuses."""


class InvalidImage(EdgeskinError):
    """A file or byte string that is not a whole, safe, decodable image."""


class InvalidData(EdgeskinError):
    """A data folder whose manifest, labels or images cannot be used."""


class InvalidSpec(EdgeskinError):
    """A spec that does not validate, or that a newer edgeskin wrote."""


class InvalidPack(EdgeskinError):
    """A test pack that is damaged, incomplete, or of another model than the artifact."""


class InvalidRun(EdgeskinError):
    """A run or program whose files are missing, damaged or do not fit together."""


class NotTrusted(EdgeskinError):
    """A run names code that is not run unasked; none of it was."""


class InvalidArtifact(EdgeskinError):
    """A converted model that is damaged, foreign, or not the one its manifest names."""


class InvalidResult(EdgeskinError):
    """A device's result that is damaged, or of another artifact or other images than asked."""


class SessionClosed(EdgeskinError):
    """A model was closed, and then asked to run."""


class UnknownName(EdgeskinError):
    """A task, network, target, scheme or precision that edgeskin does not have."""


class InvalidInput(EdgeskinError):
    """Pixels, a recipe or a model's output that the native core refuses; `status` names why."""

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status


class ShapeMismatch(EdgeskinError):
    """Two arrays that should have the same shape do not."""


class MissingPackage(EdgeskinError):
    """An optional package is not installed; the message names the extra to install."""


class NotSupportedHere(EdgeskinError):
    """Possible in principle, but not on this operating system or machine."""


class InvalidSdk(EdgeskinError):
    """A maker's SDK that the environment names is damaged, or of a version that does not fit."""


class CannotExpress(EdgeskinError):
    """A target has no form for what a scheme asks; the message names what would be lost."""


class ConversionFailed(EdgeskinError):
    """A converter refused, crashed or ran out of time; the message names its log."""


class PartlyConverted(EdgeskinError):
    """Some of several files were made (`artifacts`), the others not (`failures`, a line each)."""

    def __init__(self, message: str, artifacts: list[Any], failures: list[str]) -> None:
        super().__init__(message)
        self.artifacts = artifacts
        self.failures = failures


class NotBetter(EdgeskinError):
    """Training gave nothing better than its start, or calibration nothing near enough.

    `record`, as JSON, says what was measured.
    """

    def __init__(self, message: str, record: Mapping[str, object]) -> None:
        super().__init__(message)
        self.record = record


class TrainingDiverged(EdgeskinError):
    """The loss of a training is no number any more; the last whole epoch is kept."""


class CannotWrite(EdgeskinError):
    """An output exists already, its folder is read-only, or the disk is full."""


class InvalidBundle(EdgeskinError):
    """An app bundle, or an app's archive, that is damaged or holds what cannot be read."""


class InvalidKey(EdgeskinError):
    """A key for signatures that is missing, locked, or no ECDSA P-256 key in PEM."""


class TooLarge(EdgeskinError):
    """A bundle adds more to an app than its budget allows; nothing was written."""


class CannotFetch(EdgeskinError):
    """A runtime's library could not be had from its package, or is another file than known."""


class DeviceError(EdgeskinError):
    """A device answered, and what it was asked to do failed there; base of those below."""


class DeviceLost(DeviceError):
    """The link to a device dropped, or it never answered. What runs there goes on."""


class DeviceTimeout(DeviceLost):
    """A device is connected and gave no answer, or no further byte, in the time allowed."""


class DeviceDenied(DeviceError):
    """The device refuses: this computer is not authorised there, or a folder is not ours."""


class DeviceFull(DeviceError):
    """No space is left on the device."""


class DeviceBusy(DeviceError):
    """Another edgeskin of this machine is measuring on the device."""


class HostKeyMismatch(DeviceError):
    """A host's ssh key is not the known one, or none is known yet."""


class TransferCorrupted(DeviceError):
    """A file arrived with another hash than it left with, twice."""


class RunFailed(DeviceError):
    """A program on the device ended with an error of its own; base of those below."""


class WrongArchitecture(RunFailed):
    """The program, or a library of it, was built for another processor or system."""


class SystemTooOld(RunFailed):
    """A library wants a newer C or C++ library than the device has."""


class MissingSymbol(RunFailed):
    """A library on the device lacks a function or file that the program asks for."""


class ProgramCrashed(RunFailed):
    """A program on the device was ended by a signal."""


class ErrorDocument(TypedDict):
    """An error as JSON: the name of its class, its line, and the fields of its own."""

    error: str
    message: str
    fields: dict[str, object]


def to_document(error: EdgeskinError) -> ErrorDocument:
    """The error as JSON, for the process that asked: `from_document` makes it again."""
    return {"error": type(error).__name__, "message": str(error), "fields": vars(error)}


def from_document(document: Mapping[str, Any]) -> EdgeskinError:
    """The error that another process wrote, its fields too; an unknown kind becomes the base.

    The constructor is not called: it may ask for more than the message.
    """
    kind = globals().get(document["error"])
    if not (isinstance(kind, type) and issubclass(kind, EdgeskinError)):
        kind = EdgeskinError
    error = kind.__new__(kind, document["message"])
    vars(error).update(document.get("fields", {}))
    return error
