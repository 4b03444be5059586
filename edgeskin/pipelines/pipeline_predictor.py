"""A pipeline as one thing that answers: image in, prediction, status and what was seen out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from edgeskin import images, postprocess
from edgeskin.pipelines.handover import mean_by
from edgeskin.pipelines.joins import Joined, Pixels, Seen, join_image
from edgeskin.pipelines.pipeline_folder import Pipeline, read_pipeline
from edgeskin.pipelines.pipeline_spec import ANSWERED, Join
from edgeskin.postprocess import HeadPrediction, Outputs, Prediction
from edgeskin.predictor import Predictor, Source
from edgeskin.predictor import load as load_model
from edgeskin.preprocess import preprocess


@dataclass(frozen=True, eq=False)
class PipelinePrediction(Prediction):
    """What a pipeline says of one image: the last stage's heads; none where there is no answer.

    Attributes:
        status: `answered`, or what the join says where the last stage has nothing to see.
        seen: What it sees: the share of the image that is kept, or the squares.
        first: What the first stage says.
    """

    status: str
    seen: Seen
    first: Mapping[str, HeadPrediction]

    @property
    def answered(self) -> bool:
        """Whether the last stage saw anything."""
        return self.status == ANSWERED

    def to_json(self) -> dict[str, Any]:
        """`status`, `kept_share` or `crops`, `first`, and the last stage's `heads` by name."""
        first = {name: head.to_json() for name, head in self.first.items()}
        return {"status": self.status, **self.seen.to_json(), "first": first} | {
            "heads": super().to_json()
        }


class PipelinePredictor(Predictor):
    """A pipeline on its runtimes. Use as a context manager.

    As a `Predictor` it is its last stage: `spec` and `session` are that one's, and `run` takes
    pixels that are preprocessed for it. `predict` runs both stages.
    """

    def __init__(self, pipeline: Pipeline, first: Predictor, last: Predictor):
        super().__init__(last.spec, last.session, last.io)
        self.pipeline = pipeline
        self.first = first

    @overload
    def predict(self, source: images.Source) -> PipelinePrediction: ...

    @overload
    def predict(self, source: list[Source]) -> list[Prediction]: ...

    def predict(
        self, source: images.Source | list[Source]
    ) -> PipelinePrediction | list[Prediction]:
        """Decode one image, run both stages and read the last one's outputs.

        See `Predictor.predict`. An image in which the join leaves nothing to see has no heads
        and says why in its `status`.
        """
        if isinstance(source, list):
            return [self.predict(image) for image in source]
        image = images.decode(source)
        outputs, joined = run_first(self.first, self.pipeline.spec.join, image)
        heads: Mapping[str, HeadPrediction] = {}
        if joined.pictures:
            heads = postprocess.predict(self.spec, self.run_last(joined.pictures)).heads
        first = postprocess.predict(self.first.spec, outputs).heads
        return PipelinePrediction(heads, joined.status, joined.seen, first)

    def run_last(self, pictures: tuple[Pixels, ...]) -> Outputs:
        """The last stage's outputs for the pictures of one image, averaged."""
        outputs = self.run_all([preprocess(picture, self.spec.input) for picture in pictures])
        return {name: mean_by(np.zeros(len(pictures), np.int64), x) for name, x in outputs.items()}

    def close(self) -> None:
        self.first.close()
        super().close()


def run_first(first: Predictor, join: Join, image: Pixels) -> tuple[Outputs, Joined]:
    """A first stage's decoded outputs for one image, and what the last stage sees by them.

    Args:
        image: As decoded, uint8 (H, W, 3).
    """
    outputs = first.run(preprocess(image, first.spec.input))
    return outputs, join_image(join, first.spec, outputs, image)


def load_pipeline(
    folder: Path | str, *, threads: int = 1, trust: bool = False
) -> PipelinePredictor:
    """Open a pipeline with both its stages.

    Args:
        trust: Run the code that a run in it names, whoever wrote it.

    Raises:
        InvalidArtifact, InvalidSpec: As `read_pipeline`.
        NotTrusted: A run that names a factory that needs `trust`.
    """
    pipeline = read_pipeline(folder)
    with ExitStack() as opened:  # what opens before the other one fails is closed
        first, last = (
            opened.enter_context(load_model(path, threads=threads, trust=trust))
            for path in pipeline.paths
        )
        opened.pop_all()
    return PipelinePredictor(pipeline, first, last)
