"""One way to use a model, whatever file it is: image in, prediction out.

predictor = edgeskin.load("model.tflite")
predictor.predict("face.jpg")["severity"].label
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from edgeskin import artifacts, images, postprocess
from edgeskin.errors import InvalidArtifact
from edgeskin.formats import format_of, is_artifact, open_session
from edgeskin.postprocess import Prediction
from edgeskin.preprocess import normalize, preprocess
from edgeskin.progress import Progress, silent
from edgeskin.runtimes import Session, TensorSpec
from edgeskin.spec import Spec

Source = TypeVar("Source", bound=images.Source)


class Predictor:
    """A model on its runtime, together with its spec. Use as a context manager.

    Threads may share one: they run one after the other.
    """

    def __init__(self, spec: Spec, session: Session, io: str):
        self.spec = spec
        self.session = session
        self.io = io

    @overload
    def predict(self, source: images.Source) -> Prediction: ...

    @overload
    def predict(self, source: list[Source]) -> list[Prediction]: ...

    def predict(self, source: images.Source | list[Source]) -> Prediction | list[Prediction]:
        """Decode one image, preprocess it, run the model and read its outputs.

        An image is a path, bytes, a Pillow image or uint8 pixels (H, W, 3), as
        `images.decode` takes them. A list is predicted one after the other.

        Raises:
            InvalidImage: No image, or a damaged one.
            SessionClosed: After `close`.
        """
        if isinstance(source, list):
            return [self.predict(image) for image in source]
        pixels = preprocess(images.decode(source), self.spec.input)
        return postprocess.predict(self.spec, self.run(pixels))

    def run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Preprocessed pixels, uint8 (height, width, 3), to decoded outputs with N = 1."""
        if self.io == "app":
            return self.session.run({self.session.inputs[0].name: pixels[None]})
        tensor = self.session.inputs[0]
        raw = self.session.run({tensor.name: to_input(normalize(pixels, self.spec.input), tensor)})
        floats = {out.name: to_floats(raw[out.name], out) for out in self.session.outputs}
        return dict(postprocess.decode(self.spec, floats))

    def run_all(
        self, pixels: Iterable[NDArray[np.uint8]], progress: Progress = silent
    ) -> dict[str, NDArray[Any]]:
        """`run` for every image, its outputs stacked along N."""
        batch = list(pixels)
        parts = []
        for done, image in enumerate(batch, start=1):
            parts.append(self.run(image))
            progress(f"running on {self.session.runtime}", done, len(batch))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def load(path: Path | str, *, threads: int = 1, trust: bool = False) -> Predictor:
    """Open an artifact (.tflite, .onnx, .mlpackage) or a run folder.

    Args:
        trust: Run the code that a run names, whoever wrote it.

    Raises:
        NotTrusted: A run that names a factory that needs `trust`.
        InvalidArtifact: Missing, damaged, without a spec inside, or not what its
            manifest names.
    """
    path = Path(path)
    if path.is_dir() and not is_artifact(path):
        return _load_run(path, trust)
    format_of(path)
    artifacts.check_manifest(path)
    metadata = artifacts.read_metadata(path)
    predictor = Predictor(metadata.spec, open_session(path, threads=threads), metadata.io)
    check_input(predictor, path)
    return predictor


def _load_run(folder: Path, trust: bool) -> Predictor:
    from edgeskin.models.run import load_run
    from edgeskin.runtimes.pytorch import TorchSession

    run = load_run(folder, trust=trust)
    return Predictor(run.spec, TorchSession(run.spec, run.network), "app")


def check_input(predictor: Predictor, path: Path) -> None:
    """Check that a file takes images of the size that its spec says.

    Raises:
        InvalidArtifact: The file takes images of another size than its spec says.
    """
    size, tensor = predictor.spec.input, predictor.session.inputs[0]
    shapes = {(1, size.height, size.width, 3): "NHWC", (1, 3, size.height, size.width): "NCHW"}
    if tensor.shape not in shapes:
        predictor.close()
        expected = " or ".join(f"{kind} {shape}" for shape, kind in shapes.items())
        turned = tuple(tensor.shape) in (
            (1, size.width, size.height, 3),
            (1, 3, size.width, size.height),
        )
        why = "width and height are swapped. " if turned else ""
        raise InvalidArtifact(
            f"{path} takes {tensor.shape}, its spec says {expected}: {why}Convert it again."
        )


def to_input(x: NDArray[np.float32], tensor: TensorSpec) -> NDArray[Any]:
    """The normalised (1, 3, H, W) tensor in the layout and type that an input asks for."""
    if len(tensor.shape) == 4 and tensor.shape[3] == 3 and tensor.shape[1] != 3:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    if tensor.dtype == "float32":
        return x
    if tensor.scale is None or tensor.zero_point is None:
        raise InvalidArtifact(f"input '{tensor.name}' is {tensor.dtype} but has no scale")
    limits = np.iinfo(tensor.dtype)
    q = np.rint(x / np.float32(tensor.scale)) + tensor.zero_point
    return np.clip(q, limits.min, limits.max).astype(tensor.dtype)


def to_floats(x: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """An output's values as float32, by its scale where it is quantized."""
    if spec.scale is None or np.issubdtype(x.dtype, np.floating):
        return x.astype(np.float32)
    return (x.astype(np.float32) - np.float32(spec.zero_point or 0)) * np.float32(spec.scale)
