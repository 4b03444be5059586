"""Core ML packages by coremltools, from torch's exported program; written on any system."""

from __future__ import annotations

import json
import sys
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeskin.artifacts import Metadata
from edgeskin.converters.legalize.coreml import legalize
from edgeskin.converters.model import INPUT, Job
from edgeskin.formats.coreml.package import MANIFEST, Package

_NOT_NEEDED = (
    "executorch", "libsvm", "sklearn", "tensorflow", "torchaudio", "torchvision", "transformers",
    "xgboost",
)  # fmt: skip
_DATE = "com.github.apple.coremltools.conversion_date"


def convert(job: Job, path: Path) -> None:
    """Write `path`: an RGB image in for `app`, a float32 NCHW array for `tensor`."""
    ct = _coremltools()
    example = job.example("NCHW").float()
    # Without decompositions the converter meets operators it does not know.
    program = torch.export.export(job.module("NCHW"), (example,)).run_decompositions({})
    legalize(program.graph_module)
    model = ct.convert(
        program,
        inputs=[_input(job, tuple(example.shape))],
        outputs=[ct.TensorType(name=name, dtype=np.float32) for name in job.names],
        minimum_deployment_target=ct.target.iOS17 if job.int8 else ct.target.iOS16,
        compute_precision=_compute_precision(job),
        pass_pipeline=_passes(),
        skip_model_load=True,
    )
    _describe(model, job.metadata)
    model.save(str(path))
    _make_reproducible(path)


@cache
def _coremltools() -> Any:
    """The package, which looks at import for others that it converts from too.

    Those that are not loaded yet are hidden from it: they would cost more time than it does.
    """
    hidden = {name: None for name in _NOT_NEEDED if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None: as if it were not installed
    try:
        import coremltools
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
    return coremltools


def _passes() -> Any:
    """coremltools' own, but for one that divides the scales around an add by one of them.

    With it, the tensors of a residual add have other scales than in the program,
    rounded once more to float16.
    """
    ct = _coremltools()
    passes = ct.PassPipeline.DEFAULT
    passes.remove_passes({"common::distributive_quantized_binary_op_scale_normalization"})
    return passes


def _input(job: Job, shape: tuple[int, ...]) -> Any:
    ct = _coremltools()
    if job.metadata.io == "tensor":
        return ct.TensorType(name=INPUT, shape=shape, dtype=np.float32)
    return ct.ImageType(name=INPUT, shape=shape, color_layout=ct.colorlayout.RGB)


def _compute_precision(job: Job) -> Any:
    """What is not integer runs in float16, but in fp32 files: Apple's engines want it so."""
    ct = _coremltools()
    return ct.precision.FLOAT32 if job.metadata.precision == "fp32" else ct.precision.FLOAT16


def _describe(model: Any, metadata: Metadata) -> None:
    model.author = "edgeskin"
    model.license = metadata.spec.license
    model.short_description = metadata.spec.intended_use
    model.version = metadata.edgeskin_version
    for key, value in metadata.entries().items():
        model.user_defined_metadata[key] = value


def _make_reproducible(path: Path) -> None:
    """Take the date and the random identifiers out, so that the bytes depend on the model only."""
    package = Package.open(path)
    spec = package.read_model()
    spec.description.metadata.userDefined.pop(_DATE, None)
    package.model_file.write_bytes(spec.SerializeToString(deterministic=True))
    manifest = path / MANIFEST
    document = json.loads(manifest.read_text())
    renamed = {
        old: str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"]))
        for old, entry in document["itemInfoEntries"].items()
    }
    document["itemInfoEntries"] = {
        renamed[old]: entry for old, entry in document["itemInfoEntries"].items()
    }
    document["rootModelIdentifier"] = renamed[document["rootModelIdentifier"]]
    manifest.write_text(json.dumps(document, indent=4, sort_keys=True) + "\n")
