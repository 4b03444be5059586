"""What a bundle's new model answers beside the old one, on the same images, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeskin.bundles.bundle_check import JOIN, places_of, read_bundle
from edgeskin.bundles.bundle_diff import ModelDrift
from edgeskin.bundles.bundle_documents import BundledModel, BundleDocument
from edgeskin.errors import InvalidBundle, InvalidPack
from edgeskin.evaluation import Truth, compare
from edgeskin.metrics import equal_ratio, sqnr_db
from edgeskin.pipelines.handover import mean_by
from edgeskin.pipelines.joins import Pixels
from edgeskin.pipelines.pipeline_predictor import run_first
from edgeskin.pipelines.pipeline_spec import ANSWERED, Join
from edgeskin.postprocess import Outputs, decisions, rows_of
from edgeskin.predictor import Predictor, load
from edgeskin.preprocess import preprocess
from edgeskin.progress import Progress, silent
from edgeskin.spec import Spec


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a pack, and what is known of them.

    Attributes:
        spec: Of the model that answers: of a pipeline, of the last stage.
        count: How many there are.
        pixels: Of an image by its number, RGB, uint8 (H, W, 3).
        ready: Whether they have the model's size already.
        truth: Labels by head, a row an image.
    """

    spec: Spec
    count: int
    pixels: Callable[[int], Pixels]
    ready: bool
    truth: Truth


def check_images(old: Path, images: Images) -> None:
    """Raise InvalidPack where no model of a bundle answers what the images are labelled for."""
    heads = {head.name for head in images.spec.heads}
    if not any(heads == _heads(model) for model in read_bundle(old).models):
        raise _of_another(images, f"{old} has")


def _of_another(images: Images, where: str) -> InvalidPack:
    heads = ", ".join(sorted(head.name for head in images.spec.heads))
    return InvalidPack(
        f"the pack is of {images.spec.name}, which answers {heads}: no class that {where} answers "
        "that"
    )


def drift_of(
    old: Path, new: Path, images: Images, progress: Progress = silent
) -> tuple[ModelDrift, ...]:
    """The drift of each model that both bundles have and that the images are of.

    Raises:
        InvalidBundle: A model's file is missing.
        InvalidPack: The images are of none of the models, or ready for another size.
        MissingPackage: The runtime of the bundles' format is not installed.
    """
    before, after = read_bundle(old), read_bundle(new)
    heads = {head.name for head in images.spec.heads}
    found = []
    for model in after.models:
        twin = next((each for each in before.models if each.name == model.name), None)
        if twin is None or heads != _heads(model):
            continue
        with _opened(old, before, twin) as first, _opened(new, after, model) as second:
            found.append(_drift(model.name, first, second, images, progress))
    if not found:
        raise _of_another(images, f"{old} and {new} both have")
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Model:
    stages: Sequence[Predictor]
    join: Join | None

    @property
    def spec(self) -> Spec:
        return self.stages[-1].spec

    def answer(self, image: Pixels, *, ready: bool) -> tuple[str, Outputs]:
        """Status and decoded outputs, none without an answer."""
        last = self.stages[-1]
        if self.join is None:
            return ANSWERED, last.run(image if ready else preprocess(image, last.spec.input))
        _, joined = run_first(self.stages[0], self.join, image)
        if not joined.pictures:
            return joined.status, {}
        seen = [preprocess(picture, last.spec.input) for picture in joined.pictures]
        owner = np.zeros(len(seen), np.int64)
        return joined.status, {n: mean_by(owner, x) for n, x in last.run_all(seen).items()}


@contextmanager
def _opened(folder: Path, document: BundleDocument, model: BundledModel) -> Iterator[_Model]:
    with ExitStack() as opened:
        stages = []
        for file in model.files:
            places = places_of(document.files, file.file)
            if not places or not (folder / places[0]).exists():
                raise InvalidBundle(f"{folder} has no {file.file}: edgeskin verify-bundle says why")
            stages.append(opened.enter_context(load(folder / places[0])))
        join = None if model.join is None else JOIN.validate_python(model.join)
        yield _Model(stages, join)


def _drift(name: str, old: _Model, new: _Model, images: Images, progress: Progress) -> ModelDrift:
    size = (new.spec.input.height, new.spec.input.width)
    if images.ready and (old.join or new.join or images.pixels(0).shape[:2] != size):
        raise InvalidPack(
            "the pack's images are ready for another input than the model's: make one without "
            "--ready"
        )
    statuses, rows, chosen = [], [], []
    for i in range(images.count):
        image = images.pixels(i)
        answers = [model.answer(image, ready=images.ready) for model in (old, new)]
        (was, before), (now, after) = answers
        statuses.append(was == now)
        if before and after:
            rows.append((before, after))
            chosen.append(i)
        progress("comparing the models", i + 1, images.count)
    is_pipeline = old.join is not None or new.join is not None
    share = float(np.mean(statuses)) if is_pipeline else None
    spec = _in_common(old.spec, new.spec)
    if not rows or spec is None:
        return ModelDrift(
            model=name, images=len(rows), equal_statuses=share, sqnr_db={}, equal_decisions={},
            metrics={},
        )  # fmt: skip
    first, second = (_stacked([row[side] for row in rows], spec) for side in (0, 1))
    decided = decisions(spec, first), decisions(spec, second)
    truth = rows_of(images.truth, np.array(chosen, np.intp))
    return ModelDrift(
        model=name,
        images=len(rows),
        equal_statuses=share,
        sqnr_db={output: sqnr_db(values, second[output]) for output, values in first.items()},
        equal_decisions={h: equal_ratio(x, decided[1][h]) for h, x in decided[0].items()},
        metrics=compare(spec, first, second, truth),
    )


def _in_common(old: Spec, new: Spec) -> Spec | None:
    """The new spec with those heads that the old one has just so; None without any."""
    heads = tuple(head for head in new.heads if head in old.heads)
    return new.model_copy(update={"heads": heads}) if heads else None


def _stacked(rows: Sequence[Outputs], spec: Spec) -> Outputs:
    return {n: np.concatenate([row[n] for row in rows]) for n in spec.output_names("app")}


def _heads(model: BundledModel) -> set[str]:
    return {head.name for head in Spec.model_validate(model.files[-1].spec).heads}
