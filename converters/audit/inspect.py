"""`edgeskin inspect`: what is in a model file, whoever made it."""

from __future__ import annotations

from pathlib import Path

from edgeskin.artifacts import check_manifest
from edgeskin.converters.audit.examine import check_kind
from edgeskin.converters.audit.sandbox import audit_in_sandbox
from edgeskin.data.manifest import ImageData
from edgeskin.errors import InvalidData
from edgeskin.formats.model_audit import Audit
from edgeskin.progress import Progress, silent


def inspect(
    artifact: Path | str,
    *,
    reference: Path | str | None = None,
    data: ImageData | Path | str | None = None,
    split: str = "test",
    trust: bool = False,
    progress: Progress = silent,
) -> Audit:
    """The audit of a `.tflite`, `.onnx`, `.mlpackage` or `.mlmodel`, of edgeskin or another tool.

    It runs in a process of its own, with limits: a damaged file can make native
    code crash, or ask for more memory than there is.

    Args:
        reference: The run that the file was made from: it is run on images of
            `data`, to see how near its values come to the end of float16.
        trust: Run the code that the reference names, whoever wrote it.

    Raises:
        InvalidArtifact: Missing, truncated, not a model, or not what its
            manifest names.
        NotTrusted: The reference names a factory that needs `trust`.
        InvalidData: One of `reference` and `data` without the other.
        MissingPackage: The format's own package is not installed.
    """
    path = Path(artifact)
    if (reference is None) != (data is None):
        raise InvalidData("the values inside need both, --reference RUN and --data DIR")
    check_kind(path)
    check_manifest(path)
    audit = audit_in_sandbox(path)
    if reference is None or data is None:
        return audit
    from edgeskin.converters.audit.float16 import measure

    reach = measure(path, reference, data, split=split, trust=trust, progress=progress)
    return audit.model_copy(update={"float16": reach})
