"""`edgeskin.load`: whatever answers for an image, a model or a pipeline of two."""

from __future__ import annotations

from pathlib import Path

from edgeskin import predictor
from edgeskin.pipelines.pipeline_folder import is_pipeline
from edgeskin.pipelines.pipeline_predictor import load_pipeline
from edgeskin.predictor import Predictor


def load(path: Path | str, *, threads: int = 1, trust: bool = False) -> Predictor:
    """Open an artifact (.tflite, .onnx, .mlpackage), a run folder or a pipeline.

    Args:
        trust: Run the code that a run names, whoever wrote it.

    Returns:
        Of a pipeline a `PipelinePredictor`, whose predictions have a `status`.

    Raises:
        NotTrusted: A run that names a factory that needs `trust`.
        InvalidArtifact: Missing, damaged, without a spec inside, or not what its manifest or
            pipeline names.
    """
    if is_pipeline(path):
        return load_pipeline(path, threads=threads, trust=trust)
    return predictor.load(path, threads=threads, trust=trust)
