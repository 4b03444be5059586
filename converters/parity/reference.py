"""What an artifact is held against: a run, a quantized program, or a file of its own kind.

A run is the float model. A program has the quantization in it already, so that
what an artifact loses against it is the converter's and the runtime's doing. A
file may be anybody's: where it carries no spec, that of the artifact says what
it eats and says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeskin import postprocess
from edgeskin.artifacts import Io, Metadata, check_manifest, read_metadata
from edgeskin.converters.source import find_source, is_foreign
from edgeskin.errors import InvalidArtifact, InvalidRun, ShapeMismatch
from edgeskin.files import sha256
from edgeskin.formats import is_artifact, open_session, read_network
from edgeskin.models.run import Run
from edgeskin.postprocess import Outputs
from edgeskin.predictor import Predictor, to_floats, to_input
from edgeskin.preprocess import normalize
from edgeskin.runtimes import Session
from edgeskin.spec import Spec

if TYPE_CHECKING:
    from torch import nn

Pixels = NDArray[np.uint8]
_ACTIVATIONS = {"softmax": "softmax", "sigmoid": "sigmoid", "logistic": "sigmoid"}
"""As the formats call them, in lower case."""


@dataclass(frozen=True)
class Model:
    """A model that answers for images: pixels uint8 (N, H, W, 3) to decoded outputs.

    `network` is float or QDQ; a file has none, but a `file`, which takes what `io` says.
    `weights_sha256` is that of the trained weights, where it is known.
    """

    name: str
    spec: Spec
    sha256: str
    run_all: Callable[[Pixels], Outputs]
    network: nn.Module | None = None
    file: Path | None = None
    io: Io = "tensor"
    weights_sha256: str = ""


def open_model(path: Path | str, artifact: Spec, *, trust: bool = False) -> Model:
    """Load a run folder, a program (`.pt2`), a model file, or what a run is imported from.

    Args:
        artifact: The spec of the artifact that it is compared with.
        trust: Run the code that a run names, whoever wrote it.

    Raises:
        InvalidRun: None of these, or damaged.
        NotTrusted: A run that names a factory that needs `trust`.
        InvalidArtifact: A file that its runtime refuses.
    """
    path = Path(path)
    if is_artifact(path) and path.exists():
        return _of_file(path, artifact)
    if path.exists() and is_foreign(path):
        from edgeskin.sources.importing import network_of

        network = network_of(path, artifact, trust=trust)
        return of_network(path.name, artifact, network, sha256(path))
    source = find_source(path)
    loaded = source.load(trust=trust)
    digest = source.describe().sha256
    model = of_network(path.name, loaded.spec, loaded.network, digest)
    return replace(model, weights_sha256=loaded.weights_sha256)


def of_run(run: Run) -> Model:
    model = of_network(run.spec.name, run.spec, run.network, run.sha256)
    return replace(model, weights_sha256=run.sha256)


def of_network(name: str, spec: Spec, network: nn.Module, digest: str) -> Model:
    """A float network, or the QDQ graph of a program, which takes one image at a time."""
    from torch import fx

    from edgeskin.converters.model import any_strides
    from edgeskin.runtimes.pytorch import TorchSession, run_all

    batch = 1 if isinstance(network, fx.GraphModule) else None
    session = TorchSession(spec, any_strides(network))
    return Model(name, spec, digest, lambda pixels: run_all(session, pixels, batch), network)


def _of_file(path: Path, artifact: Spec) -> Model:
    check_manifest(path)
    try:
        metadata = read_metadata(path)
    except InvalidArtifact:
        run = partial(_run_foreign, path, artifact)
        return Model(path.name, artifact, sha256(path), run, file=path)

    run = partial(_run_own, path, metadata)
    model = Model(path.name, metadata.spec, sha256(path), run, file=path, io=metadata.io)
    return replace(model, weights_sha256=metadata.weights_sha256)


def _run_own(path: Path, metadata: Metadata, pixels: Pixels) -> Outputs:
    with Predictor(metadata.spec, open_session(path), metadata.io) as predictor:
        return predictor.run_all(pixels)


def _run_foreign(path: Path, spec: Spec, pixels: Pixels) -> Outputs:
    """Outputs of a file without a spec: the normalised tensor in, heads out, activated or raw."""
    with open_session(path) as session:
        names = _heads(session, spec, path)
        image_input = session.inputs[0]
        raw = [
            session.run({image_input.name: to_input(normalize(image, spec.input), image_input)})
            for image in pixels
        ]
        outputs = {
            head: np.concatenate([to_floats(part[out.name], out) for part in raw])
            for head, out in names.items()
        }
    ends = _ends(path)
    for head in spec.heads:
        activation = postprocess.activation_of(head)
        if activation and activation == ends.get(names[head.name].name):
            outputs[head.name] = _before(outputs[head.name], activation)
    return postprocess.decode(spec, outputs)


def _ends(path: Path) -> dict[str, str]:
    """The activation that each output of a file ends in, behind what only moves values."""
    network = read_network(path)
    found = {}
    for output in network.outputs:
        op = network.producer.get(output)
        while op is not None and op.role in ("move", "transpose", "quantize", "dequantize"):
            op = network.producer.get(op.inputs[0])
        if op is not None and op.type.lower() in _ACTIVATIONS:
            found[output] = _ACTIVATIONS[op.type.lower()]
    return found


def _before(values: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    """The logits, of softmax up to a constant, that an activation gives `values` for."""
    tiny = np.finfo(np.float32).tiny
    logs = np.log(np.maximum(values, tiny))
    return logs if activation == "softmax" else logs - np.log(np.maximum(1 - values, tiny))


def _heads(session: Session, spec: Spec, path: Path) -> Mapping[str, Any]:
    """The output that is each head: by its name, else by its place.

    Raises:
        ShapeMismatch: Other inputs or outputs than the spec's network has.
    """
    (head, *_), outputs = spec.heads, {out.name: out for out in session.outputs}
    names = [head.name for head in spec.heads]
    if len(session.inputs) != 1 or len(outputs) != len(names):
        raise ShapeMismatch(
            f"{path.name} has {len(session.inputs)} inputs and {len(outputs)} outputs, the "
            f"artifact's network has 1 and {len(names)} (first head: {head.name}). They are not "
            "the same network."
        )
    if set(names) == set(outputs):
        return {name: outputs[name] for name in names}
    return dict(zip(names, session.outputs, strict=True))


def need_network(model: Model) -> nn.Module:
    """The torch network of `model`.

    Raises:
        InvalidRun: The model is a file.
    """
    if model.network is None:
        raise InvalidRun(
            f"{model.name} is a model file: pass the run or the program (.pt2) that the artifact "
            "was made from."
        )
    return model.network
