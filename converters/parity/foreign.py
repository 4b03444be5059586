"""Two files of one network, of whoever made them: the same numbers in, SQNR of what comes out."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin.artifacts import Precision
from edgeskin.converters.audit.describe import weights
from edgeskin.converters.parity.compare import agree, lowest_db
from edgeskin.converters.parity.documents import FileComparison, LayerReport
from edgeskin.converters.parity.floors import FILE_DB
from edgeskin.converters.parity.layout import layouts
from edgeskin.converters.parity.opened import OpenedFile, opened
from edgeskin.errors import InvalidArtifact, ShapeMismatch
from edgeskin.formats import is_artifact
from edgeskin.predictor import to_floats
from edgeskin.progress import Progress, silent
from edgeskin.runtimes import Session, TensorSpec

Array = NDArray[Any]
SAMPLES = 8


def compare_files(
    artifact: OpenedFile | Path | str, reference: OpenedFile | Path | str
) -> FileComparison:
    """Run both files on smooth random images and say how far each output agrees.

    An input that looks like an image gets pixels, 0 to 255 where it is uint8
    and 0 to 1 where it is float; any other gets normal noise. Inputs and
    outputs are paired by name, else by place; NCHW and NHWC by their sizes.

    Raises:
        InvalidArtifact: The reference is not a model file, or a runtime refuses one.
        ShapeMismatch: Other inputs or outputs.
    """
    with opened(artifact) as file, opened(reference) as known:
        _check_file(file.path, known.path)
        values = _run_both(file.session, known.session)
        precision = _precision(file)
        runtime = file.session.runtime
    agreement = {
        name: agree(*(np.stack(side) for side in zip(*pairs, strict=True)))
        for name, pairs in values.items()
    }
    return FileComparison(
        artifact=file.path.name,
        data="made-up images",
        split=known.path.name,
        precision=precision,
        floor_db=FILE_DB[precision],
        runtime=runtime,
        images=SAMPLES,
        sqnr_db=lowest_db(agreement),
        agreement=agreement,
    )


def _run_both(artifact: Session, reference: Session) -> dict[str, list[tuple[Array, Array]]]:
    """Outputs of `SAMPLES` images, (reference, artifact), by the reference's names."""
    inputs = _pairs(artifact.inputs, reference.inputs, "inputs")
    outputs = _pairs(artifact.outputs, reference.outputs, "outputs")
    values: dict[str, list[tuple[Array, Array]]] = {known.name: [] for _, known in outputs}
    for seed in range(SAMPLES):
        feeds = [(own, known, *_feed(own, known, seed)) for own, known in inputs]
        expected = reference.run({known.name: x for _, known, x, _ in feeds})
        actual = artifact.run({own.name: x for own, _, _, x in feeds})
        for own, known in outputs:
            y = _back(to_floats(actual[own.name], own), known, own)
            values[known.name].append((to_floats(expected[known.name], known), y))
    return values


def _feed(own: TensorSpec, known: TensorSpec, seed: int) -> tuple[Array, Array]:
    """The same numbers for an input of the reference, `known`, and for that of the artifact."""
    x = _values(known, seed)
    return _held(x, known), _held(_like(x, known, own), own)


def compare_file_layers(
    artifact: OpenedFile | Path | str,
    reference: OpenedFile | Path | str,
    images: int = SAMPLES,
    *,
    repro: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> LayerReport:
    """By layer what `compare_files` compares as a whole, on as many of its images.

    Raises:
        InvalidArtifact: The reference is not a model file, a runtime refuses one, one has
            more than one input, or no layer matches.
        ShapeMismatch: Other inputs.
    """
    # Layers need torch's quantization, which takes seconds to import.
    from edgeskin.converters.parity.file_graph import FileGraph
    from edgeskin.converters.parity.layer_comparison import Images, Pair
    from edgeskin.converters.parity.layers import measure
    from edgeskin.converters.parity.parts import Parts

    with opened(artifact) as file, opened(reference) as known:
        _check_file(file.path, known.path)
        (own, expected), *_ = _pairs(file.session.inputs, known.session.inputs, "inputs")
        image = partial(_feed, own, expected)
        with Parts(file) as parts, Parts(known) as known_parts:
            pair = Pair(parts, FileGraph(known_parts), _precision(file), Images(images, image))
            return measure(pair, known.path.name, repro=repro, force=force, progress=progress)


def _check_file(artifact: Path, reference: Path) -> None:
    if not is_artifact(reference):
        raise InvalidArtifact(
            f"{artifact} carries no spec of edgeskin, so that a run cannot be compared with it. "
            "Pass a float .onnx or .tflite file of the same network as --reference."
        )


def _precision(file: OpenedFile) -> Precision:
    """By the types of its weights: a file without a spec does not say it."""
    kinds = {tensor.dtype for tensor in weights(file.network)}
    if any("int" in kind for kind in kinds):
        return "int8"
    return "fp16" if "float16" in kinds else "fp32"


def _pairs(
    artifact: tuple[TensorSpec, ...], reference: tuple[TensorSpec, ...], what: str
) -> list[tuple[TensorSpec, TensorSpec]]:
    """(artifact's, reference's): by name where all names are alike, else by place."""
    if len(artifact) != len(reference):
        raise ShapeMismatch(
            f"the artifact has {len(artifact)} {what}, the reference {len(reference)}: "
            "they are not the same network"
        )
    by_name = {spec.name: spec for spec in artifact}
    if by_name.keys() == {spec.name for spec in reference}:
        pairs = [(by_name[spec.name], spec) for spec in reference]
    else:
        pairs = list(zip(artifact, reference, strict=True))
    for own, known in pairs:
        if not layouts(_sizes(known), _sizes(own)):
            raise ShapeMismatch(
                f"{what}: {own.name} is {own.shape}, {known.name} of the reference {known.shape}. "
                "They are not the same network."
            )
    return pairs


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    """The shape, for one image where the batch is open."""
    return tuple(1 if i == 0 and size == -1 else size for i, size in enumerate(spec.shape))


def _values(spec: TensorSpec, seed: int) -> Array:
    """float32 of the input's shape: a smooth image, or noise."""
    rng = np.random.default_rng([seed, zlib.crc32(spec.name.encode())])
    shape = _sizes(spec)
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        return rng.standard_normal(shape).astype(np.float32)
    first = shape[1] == 3
    height, width = (shape[2], shape[3]) if first else (shape[1], shape[2])
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    image = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    image = image if spec.dtype == "uint8" and spec.scale in (None, 1.0) else image / 255.0
    return image.transpose(2, 0, 1)[None] if first else image[None]


def _like(x: Array, source: TensorSpec, target: TensorSpec) -> Array:
    layout = layouts(_sizes(target), _sizes(source), nhwc=_is_nhwc(source))[0]
    return np.ascontiguousarray(layout.to_reference(x))


def _back(x: Array, reference: TensorSpec, artifact: TensorSpec) -> Array:
    """An output of the artifact in the reference's layout; a mask keeps its rows and columns."""
    if _sizes(reference) == _sizes(artifact):
        return x
    layout = layouts(_sizes(reference), _sizes(artifact), nhwc=_is_nhwc(artifact))[0]
    return layout.to_reference(x)


def _is_nhwc(spec: TensorSpec) -> bool:
    shape = _sizes(spec)
    return len(shape) == 4 and shape[3] < min(shape[1:3])


def _held(x: Array, spec: TensorSpec) -> Array:
    """Real numbers in the type of an input, as integers of its scale where it is quantized."""
    if spec.scale is not None:
        limits = np.iinfo(spec.dtype)
        q = np.rint(x / np.float32(spec.scale)) + (spec.zero_point or 0)
        return np.clip(q, limits.min, limits.max).astype(spec.dtype)
    x = np.rint(x) if np.issubdtype(spec.dtype, np.integer) else x
    return np.ascontiguousarray(x.astype(spec.dtype))
