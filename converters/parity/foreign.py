"""Two files of one network, of whoever made them: the same numbers in, SQNR of what comes out."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin.artifacts import read_metadata
from edgeskin.converters.audit.describe import weights
from edgeskin.converters.parity.compare import agree
from edgeskin.converters.parity.floors import FILE_DB
from edgeskin.converters.parity.layout import layouts
from edgeskin.errors import InvalidArtifact, ShapeMismatch
from edgeskin.formats import is_artifact, open_session, read_network
from edgeskin.predictor import to_floats
from edgeskin.runtimes import TensorSpec

Array = NDArray[Any]
Progress = Callable[[int, int], None]
SAMPLES = 8


def has_spec(artifact: Path) -> bool:
    """Whether a file says what it is; a damaged one says so when it is opened."""
    try:
        read_metadata(artifact)
    except InvalidArtifact:
        return not artifact.exists() or not is_artifact(artifact)
    return True


def compare_files(artifact: Path, reference: Path) -> dict[str, Any]:
    """Run both files on smooth random images and say how far each output agrees.

    An input that looks like an image gets pixels, 0 to 255 where it is uint8
    and 0 to 1 where it is float; any other gets normal noise. Inputs and
    outputs are paired by name, else by place; NCHW and NHWC by their sizes.

    Raises:
        InvalidArtifact: The reference is not a model file, or a runtime refuses one.
        ShapeMismatch: Other inputs or outputs.
    """
    _check_file(artifact, reference)
    with open_session(artifact) as ours, open_session(reference) as theirs:
        given = _pairs(ours.inputs, theirs.inputs, "inputs")
        made = _pairs(ours.outputs, theirs.outputs, "outputs")
        found: dict[str, list[tuple[Array, Array]]] = {their.name: [] for _, their in made}
        for seed in range(SAMPLES):
            feeds = [(our, their, _values(their, seed)) for our, their in given]
            a = ours.run({our.name: _held(_like(x, their, our), our) for our, their, x in feeds})
            b = theirs.run({their.name: _held(x, their) for _, their, x in feeds})
            for our, their in made:
                x, y = to_floats(b[their.name], their), to_floats(a[our.name], our)
                found[their.name].append((x, _back(y, their, our)))
        runtime = ours.runtime
    agreement = {
        name: agree(*(np.stack(side) for side in zip(*pairs, strict=True)))
        for name, pairs in found.items()
    }
    precision = _precision(artifact)
    return {
        "artifact": artifact.name,
        "precision": precision,
        "floor_db": FILE_DB[precision],
        "data": "made-up images",
        "split": reference.name,
        "runtime": runtime,
        "images": SAMPLES,
        "sqnr_db": float(np.min([entry["sqnr_db"] for entry in agreement.values()])),
        "agreement": agreement,
    }


def compare_file_layers(
    artifact: Path,
    reference: Path,
    images: int = SAMPLES,
    *,
    repro: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """By layer what `compare_files` compares as a whole, on as many of its images.

    Returns:
        A document as of `layers.compare_layers`.

    Raises:
        InvalidArtifact: The reference is not a model file, a runtime refuses one, one has
            more than one input, or no layer matches.
        ShapeMismatch: Other inputs.
    """
    from edgeskin.converters.parity.file_graph import FileGraph
    from edgeskin.converters.parity.layers import Feed, measure
    from edgeskin.converters.parity.parts import Parts

    _check_file(artifact, reference)
    with open_session(artifact) as ours, open_session(reference) as theirs:
        (our, their), *_ = _pairs(ours.inputs, theirs.inputs, "inputs")

    def feed(seed: int) -> Feed:
        x = _values(their, seed)
        return _held(x, their), _held(_like(x, their, our), our)

    with Parts(artifact) as parts, Parts(reference) as known:
        return measure(
            parts,
            FileGraph(known),
            _precision(artifact),
            feed,
            images,
            repro=repro,
            force=force,
            progress=progress,
        ) | {"reference": reference.name}


def _check_file(artifact: Path, reference: Path) -> None:
    if not is_artifact(reference):
        raise InvalidArtifact(
            f"{artifact} carries no spec of edgeskin, so that a run cannot be compared with it. "
            "Pass a float .onnx or .tflite file of the same network as --reference."
        )


def _precision(artifact: Path) -> str:
    """By the types of its weights: a file without a spec does not say it."""
    kinds = {tensor.dtype for tensor in weights(read_network(artifact))}
    if any("int" in kind for kind in kinds):
        return "int8"
    return "fp16" if "float16" in kinds else "fp32"


def _pairs(
    ours: tuple[TensorSpec, ...], theirs: tuple[TensorSpec, ...], what: str
) -> list[tuple[TensorSpec, TensorSpec]]:
    """Each of ours with each of theirs: by name where all are alike, else by place."""
    if len(ours) != len(theirs):
        raise ShapeMismatch(
            f"the artifact has {len(ours)} {what}, the reference {len(theirs)}: "
            "they are not the same network"
        )
    by_name = {spec.name: spec for spec in ours}
    if by_name.keys() == {spec.name for spec in theirs}:
        pairs = [(by_name[spec.name], spec) for spec in theirs]
    else:
        pairs = list(zip(ours, theirs, strict=True))
    for our, their in pairs:
        if not layouts(_sizes(their), _sizes(our)):
            raise ShapeMismatch(
                f"{what}: {our.name} is {our.shape}, {their.name} of the reference {their.shape}. "
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
    way = layouts(_sizes(target), _sizes(source), nhwc=_is_nhwc(source))[0]
    return np.ascontiguousarray(way.to_reference(x))


def _back(x: Array, reference: TensorSpec, artifact: TensorSpec) -> Array:
    """An output of the artifact in the reference's layout; a mask keeps its rows and columns."""
    if _sizes(reference) == _sizes(artifact):
        return x
    way = layouts(_sizes(reference), _sizes(artifact), nhwc=_is_nhwc(artifact))[0]
    return way.to_reference(x)


def _is_nhwc(spec: TensorSpec) -> bool:
    shape = _sizes(spec)
    return len(shape) == 4 and shape[3] < min(shape[1:3])


def _held(x: Array, spec: TensorSpec) -> Array:
    """Real numbers in the type of an input, on its grid where it is quantized."""
    if spec.scale is not None:
        limits = np.iinfo(spec.dtype)
        q = np.rint(x / np.float32(spec.scale)) + (spec.zero_point or 0)
        return np.clip(q, limits.min, limits.max).astype(spec.dtype)
    x = np.rint(x) if np.issubdtype(spec.dtype, np.integer) else x
    return np.ascontiguousarray(x.astype(spec.dtype))
