"""`edgeskin pretrain`: features learnt from unlabelled images, for `edgeskin train --start`.

Two views of an image, each cropped, turned and coloured at random, must be predictable from each
other: SimSiam (Chen and He, "Exploring simple siamese representation learning", CVPR 2021), by
the heads and the loss of `lightly`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from edgeskin.data.manifest import Dataset, ImageData, open_data
from edgeskin.document import Document
from edgeskin.errors import InvalidData, MissingPackage
from edgeskin.files import check_writable
from edgeskin.models import MEAN, STD
from edgeskin.models.architectures import build, find_arch
from edgeskin.models.linear_heads import MultiHead
from edgeskin.models.pretrained import started_from, weights_license
from edgeskin.models.run import save_run
from edgeskin.progress import Progress, silent
from edgeskin.spec import EmbeddingHead, InputSpec, Spec
from edgeskin.tasks import objective_of
from edgeskin.training.augment import augment
from edgeskin.training.loop import ParameterGroup, Trainer
from edgeskin.training.recipe import Recipe
from edgeskin.training.train import training_images
from edgeskin.version import __version__

SIZE = 256
"""Values of the embedding, which the run gives of an image."""
BOTTLENECK = 64
_VARIATIONS = ("rotation_deg", "zoom", "color_jitter")
RECIPE: Mapping[str, object] = {
    "zoom": 1.0,
    "color_jitter": 0.4,
    "weight_decay": 1e-4,
    "learning_rate": 3e-4,
}


class PretrainingRecord(Document):
    """`metrics.json` of features: how they were learnt, and how far they are from collapse.

    `seconds` are the wall time of its epochs. `spread` is the standard deviation of the unit-length
    projection over images times the root of its size: 1 where projections point everywhere, 0 where
    all are the same (collapse).
    """

    version: int = 1
    edgeskin_version: str
    recipe: Recipe
    images: dict[str, int]
    started_from: str
    losses: tuple[float, ...]
    seconds: float | None = None
    spread: float


def pretrain(
    arch: str,
    data: Sequence[ImageData | Path | str],
    out: Path | str,
    *,
    recipe: Recipe | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> PretrainingRecord:
    """Learn a network's features from the train splits of data sets; labels are not read.

    The run has one embedding head, whose backbone `train(start=OUT)` takes over. Checkpoints go
    to `OUT.checkpoint/`; the same call after a kill goes on from the last whole epoch.

    Raises:
        UnknownName: No such network.
        InvalidData: A folder cannot be used, or no image is there.
        MissingPackage: `lightly` is not installed.
        TrainingDiverged: The loss is no number any more.
    """
    out = Path(out)
    check_writable(out, force=force)
    recipe = recipe or Recipe(**RECIPE, arch=arch)  # type: ignore[arg-type]
    splits = [open_data(part).split("train") for part in data]
    if not splits:
        raise InvalidData("pretraining needs at least one --data folder of images")
    spec = _spec(arch, recipe, splits)
    torch.manual_seed(recipe.seed)
    network = build(spec, pretrained=recipe.pretrained)
    if not isinstance(network, MultiHead):
        raise InvalidData(f"{arch} has no backbone with one vector of features an image")
    images = torch.cat([training_images(split, spec.input, progress) for split in splits])
    trainer = SiameseTrainer(spec, Siamese(network), objective_of(spec), recipe, images, {})
    checkpoint = out.with_name(out.name + ".checkpoint") / "last.pt"
    siamese = trainer.fit(
        checkpoint,
        lambda epoch, loss: progress(f"pretraining, loss {loss:.3f}", epoch, recipe.epochs),
    )
    assert isinstance(siamese, Siamese)
    record = PretrainingRecord(
        edgeskin_version=__version__,
        recipe=recipe,
        images={split.name: len(split) for split in splits},
        started_from=started_from(find_arch(arch), pretrained=recipe.pretrained),
        losses=tuple(trainer.losses),
        seconds=trainer.seconds,
        spread=_spread(trainer, siamese),
    )
    save_run(out, spec, siamese.network, record.to_json(), force=force)
    shutil.rmtree(checkpoint.parent, ignore_errors=True)
    return record


class Siamese(nn.Module):
    """An embedding network, and the heads of SimSiam behind its features.

    Takes (N, 3, H, W) and returns the projection, (N, SIZE), and the prediction made of it.
    """

    def __init__(self, network: MultiHead):
        super().__init__()
        try:
            from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
        except ImportError as error:
            raise MissingPackage(
                "self-supervised pretraining needs lightly: pip install 'edgeskin[ssl]'"
            ) from error
        features = network.heads[0].in_features
        self.network = network
        self.project = SimSiamProjectionHead(features, features, SIZE)
        self.predict = SimSiamPredictionHead(SIZE, BOTTLENECK, SIZE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        projection = self.project(self.network.backbone(x))
        return projection, self.predict(projection)


class SiameseTrainer(Trainer):
    """Trains a `Siamese` on two views of each image of a batch."""

    def parameter_groups(self) -> list[ParameterGroup]:
        siamese = cast(Siamese, self.network)
        siamese.network.heads.requires_grad_(False)  # the embedding is no part of the loss
        return [{"params": [p for p in siamese.parameters() if p.requires_grad]}]

    def step(self, chosen: Tensor, generator: torch.Generator) -> float:
        from lightly.loss import NegativeCosineSimilarity

        alike = NegativeCosineSimilarity()
        views = [self._view(chosen, generator) for _ in range(2)]
        (p0, q0), (p1, q1) = (self.model(view) for view in views)
        pairs = ((q0, p1), (q1, p0))
        losses = [alike(q.float(), p.detach().float()) for q, p in pairs]
        return self.descend(torch.stack(losses).mean())

    def _view(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        size = (self.spec.input.height, self.spec.input.width)
        pixels, _ = augment(self.images[chosen], {}, size, self.recipe, generator)
        return self.normalizer.normalize(pixels).to(memory_format=torch.channels_last)


@torch.no_grad()
def _spread(trainer: Trainer, siamese: Siamese) -> float:
    """See `PretrainingRecord.spread`; of up to 256 images."""
    generator = torch.Generator().manual_seed(0)
    still = trainer.recipe.model_copy(update=dict.fromkeys(_VARIATIONS, 0.0))
    size = (trainer.spec.input.height, trainer.spec.input.width)
    chosen = torch.randperm(len(trainer.images), generator=generator)[:256]
    pixels, _ = augment(trainer.images[chosen], {}, size, still, generator)
    parts = [siamese(trainer.normalizer.normalize(part))[0] for part in pixels.split(32)]
    unit = nn.functional.normalize(torch.cat(parts), dim=1)
    return float(unit.std(dim=0).mean() * SIZE**0.5)


def _spec(arch: str, recipe: Recipe, splits: Sequence[Dataset]) -> Spec:
    licenses = dict.fromkeys(text for split in splits for text in split.licenses)
    return Spec(
        name=f"features-{arch}",
        task="features",
        arch=arch,
        arch_args=recipe.arch_options,
        input=InputSpec(
            height=recipe.size, width=recipe.size, resize_to=recipe.resize_to, mean=MEAN, std=STD
        ),
        heads=(EmbeddingHead(name="features", size=SIZE, normalize="l2"),),
        license=weights_license(find_arch(arch), licenses, pretrained=recipe.pretrained),
        intended_use="Features to start training from: `edgeskin train --start`.",
        training_data=f"train splits of {', '.join(s.name for s in splits)}, without labels",
        limits="Its embedding was not trained; use its backbone.",
    )
