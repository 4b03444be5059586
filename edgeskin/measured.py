"""What a device computed: a result of `edgeskin bench`, read by those who do not measure.

A result is `NAME.json`, which says what was run on what, and `NAME.npz`, the
decoded outputs of every image.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidResult
from edgeskin.files import sha256
from edgeskin.postprocess import rows_of

VERSION: Final = 1
_IN_HALF, _SIMULATED_IN_HALF = ("qnn", "gpu"), ("htp", "gpu:fp16")
"""Accelerators that compute float32 files in float16, real ones and simulated ones."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The outputs of one artifact on one device.

    Attributes:
        device: Its name, as "emulated:cortex-a76".
        engine: The runtime there with its version, and its accelerator.
        artifact_sha256: Of the model file.
        images: SHA-256 of each image file.
        outputs: Decoded outputs; row i belongs to `images[i]`.
        equal_inputs: The share of images that the device preprocessed to the very
            bytes that this machine makes.
        in_half: It computes float32 in float16, as NPUs and phones' GPUs do.
    """

    path: Path
    device: str
    engine: str
    artifact_sha256: str
    images: tuple[str, ...]
    outputs: dict[str, NDArray[Any]]
    equal_inputs: float
    in_half: bool = False

    @property
    def runtime(self) -> str:
        """What computed the outputs, and where."""
        return f"{self.engine} on {self.device}"

    def of(self, artifact: Path, images: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The outputs of `artifact` on the images of these hashes, rows in their order.

        Raises:
            InvalidResult: Of another file, of other images, or of other pixels of them.
        """
        if (digest := sha256(artifact)) != self.artifact_sha256:
            raise InvalidResult(
                f"{self.path} is a result of the file {self.artifact_sha256[:16]}..., "
                f"{artifact.name} is {digest[:16]}.... Measure this one: edgeskin bench"
            )
        rows = {image: row for row, image in enumerate(self.images)}
        if missing := [image for image in images if image not in rows]:
            raise InvalidResult(
                f"{self.path} has {len(images) - len(missing)} of these {len(images)} images; the "
                f"first that it has not is {missing[0][:16]}.... Pack the same data and split"
            )
        if self.equal_inputs != 1.0:
            raise InvalidResult(
                f"{self.path}: the device made other pixels of {1 - self.equal_inputs:.1%} of the "
                "images, so that more than its kernels is in its outputs"
            )
        return rows_of(self.outputs, np.array([rows[image] for image in images], np.intp))


def read_measured(path: Path | str) -> Measured:
    """Read a result.

    Raises:
        InvalidResult: Missing, damaged, of another version, or without its outputs.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != VERSION:
            raise InvalidResult(f"{path} has version {document['version']}; upgrade edgeskin")
        # Opened here: numpy leaves a file open that is no zip.
        with path.with_suffix(".npz").open("rb") as file:
            outputs = dict(np.load(file, allow_pickle=False))
        engine = document["engine"]
        parts = [engine["version"], engine["accelerator"]]
        measured = Measured(
            path=path,
            device=document["device"]["name"],
            engine=", ".join(part for part in parts if part != "none"),
            artifact_sha256=document["artifact"]["sha256"],
            images=tuple(document["pack"]["source_sha256"]),
            outputs=outputs,
            equal_inputs=document["accuracy"]["bit_equal_inputs"],
            in_half=computes_in_half(
                document["device"].get("simulated", ""), engine["accelerator"]
            ),
        )
    except FileNotFoundError as error:
        raise InvalidResult(
            f"{path} is no result: {Path(error.filename).name} is missing. A result is the .json "
            "that edgeskin bench writes, with the .npz of the same name beside it"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, MemoryError) as error:
        raise InvalidResult(
            f"{path} is damaged ({type(error).__name__}: {error}). Measure it again"
        ) from error
    for name, values in outputs.items():
        count = np.shape(values)[0] if np.ndim(values) else "none"
        if count != len(measured.images):
            raise InvalidResult(
                f"{path} names {len(measured.images)} images, '{name}' in its .npz is of {count}"
            )
    return measured


def computes_in_half(simulated: str, accelerator: str = "") -> bool:
    """Whether a simulator ("htp:SM8750"), or an accelerator, computes float32 in float16."""
    if simulated:
        return simulated.startswith(_SIMULATED_IN_HALF)
    return accelerator in _IN_HALF
