"""Networks that start from others: features without labels, frozen backbones, temperatures."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from samples import acne_spec
from torch import nn

from edgeskin.data.manifest import load_split
from edgeskin.data.phantom_sets import find_set
from edgeskin.errors import InvalidRun, TrainingDiverged
from edgeskin.models.run import load_run
from edgeskin.spec import DistributionHead, Spec
from edgeskin.training.cross_validation import cross_validate
from edgeskin.training.pretrain import pretrain
from edgeskin.training.recipe import Recipe
from edgeskin.training.temperature import fit_temperature
from edgeskin.training.train import TrainingRecord, train

ARCH = "mobilenet_v3_small"
FAST = {"size": 64, "resize_to": 72, "pretrained": False, "batch_size": 8, "epochs": 1}


@pytest.fixture(scope="module")
def ages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ages") / "set"
    find_set("ages")(folder, train=24, val=0, test=12, size=128)
    return folder


def backbone(run: Path) -> dict[str, torch.Tensor]:
    state = load_file(run / "weights.safetensors")
    return {name: t for name, t in state.items() if name.startswith("backbone.")}


@pytest.mark.slow
def test_features_without_labels_are_what_training_starts_from(ages: Path, tmp_path: Path) -> None:
    recipe = Recipe(**FAST | {"epochs": 2}, zoom=1.0)
    record = pretrain(ARCH, [ages], tmp_path / "features", recipe=recipe)
    assert record.images == {"set": 24}
    assert len(record.losses) == 2
    assert -1.0 <= record.losses[-1] <= 1.0  # minus a mean cosine
    assert 0.0 < record.spread <= 1.05
    features = backbone(tmp_path / "features")
    frozen = Recipe(**FAST, frozen=True, average_decay=0.0)
    made = train(
        "perceived_age", ARCH, ages, tmp_path / "run", recipe=frozen, start=tmp_path / "features"
    )
    assert made.started_from.startswith("the backbone of features-mobilenet_v3_small")
    assert Spec.load(tmp_path / "run").license == (
        "Weights follow their training images: CC0-1.0. They started from a run "
        "(Weights follow their training images: CC0-1.0)"
    )
    for name, tensor in backbone(tmp_path / "run").items():  # frozen: batch norms, too
        assert torch.equal(tensor, features[name]), name
    with pytest.raises(InvalidRun, match="another network than is to be trained"):
        train(
            "perceived_age", "mobilenet_v2_050", ages, tmp_path / "other", recipe=frozen,
            start=tmp_path / "features",
        )  # fmt: skip


@pytest.mark.slow
def test_the_temperature_of_a_training_is_in_its_record_and_its_weights(tmp_path: Path) -> None:
    data = tmp_path / "set"
    find_set("ages")(data, train=24, val=8, test=4, size=128)

    def trained(name: str, *, fit_temperature: bool) -> tuple[TrainingRecord, torch.Tensor]:
        recipe = Recipe(**FAST, fit_temperature=fit_temperature)
        record = train("perceived_age", ARCH, data, tmp_path / name, recipe=recipe)
        return record, load_file(tmp_path / name / "weights.safetensors")["heads.0.weight"]

    plain, weights = trained("plain", fit_temperature=False)
    record, divided = trained("fitted", fit_temperature=True)
    assert "temperatures" not in plain.to_json()
    assert record.temperatures is not None
    torch.testing.assert_close(divided * record.temperatures["age"], weights)
    assert record.temperatures["age"] != pytest.approx(1.0, abs=1e-3)


def test_pretraining_that_goes_on_tells_every_epoch(ages: Path, tmp_path: Path) -> None:
    recipe = Recipe(**FAST | {"epochs": 3})
    whole = pretrain(ARCH, [ages], tmp_path / "whole", recipe=recipe)

    def stops(what: str, done: int, total: int) -> None:
        if what.startswith("pretraining") and done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        pretrain(ARCH, [ages], tmp_path / "run", recipe=recipe, progress=stops)
    (checkpoint,) = (tmp_path / "run.checkpoint").iterdir()
    before = torch.load(checkpoint, weights_only=True)["seconds"]
    resumed = pretrain(ARCH, [ages], tmp_path / "run", recipe=recipe)
    assert resumed.losses == whole.losses
    assert resumed.seconds is not None
    assert resumed.seconds > before > 0.0


@pytest.mark.slow
def test_each_image_is_held_out_once(ages: Path, tmp_path: Path) -> None:
    recipe = Recipe(**FAST, task="perceived_age", arch=ARCH)
    seen = cross_validate(recipe, ages, tmp_path / "folds", 3)
    assert [fold.train_images for fold in seen.folds] == [16, 16, 16]
    assert seen.pooled.images == 24
    spread = seen.spread["age_mae"]
    assert spread.mean == pytest.approx(np.mean(spread.folds))
    assert spread.sd == pytest.approx(np.std(spread.folds, ddof=1))
    runs = [tmp_path / "folds" / f"fold-{i}" for i in (1, 2, 3)]
    stamps = [(run / "weights.safetensors").stat().st_mtime_ns for run in runs]
    again = cross_validate(recipe, ages, tmp_path / "folds", 3, force=True)
    assert [(run / "weights.safetensors").stat().st_mtime_ns for run in runs] == stamps
    assert again.pooled == seen.pooled
    other = recipe.model_copy(update={"epochs": 2})
    (tmp_path / "folds" / "cross_validation.json").unlink()
    with pytest.raises(InvalidRun, match="fold-1 is no fold of this recipe, start, data"):
        cross_validate(other, ages, tmp_path / "folds", 3)
    with pytest.raises(InvalidRun, match="fold-1 is no fold of this"):
        cross_validate(recipe, ages, tmp_path / "folds", 2)  # other images are held out
    (runs[0] / "metrics.json").write_text("{")
    with pytest.raises(InvalidRun, match="fold-1 is no fold of this"):
        cross_validate(recipe, ages, tmp_path / "folds", 3)
    assert cross_validate(recipe, ages, tmp_path / "folds", 3, force=True).pooled == seen.pooled


class Answers(nn.Module):
    """The same logits for every image, from a linear head."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(1, len(logits))])
        with torch.no_grad():
            self.heads[0].weight.zero_()
            self.heads[0].bias.copy_(logits)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.heads[0](x.mean(dim=(1, 2, 3))[:, None]),)


def test_a_temperature_makes_the_labels_likeliest(ages: Path, tmp_path: Path) -> None:
    head = DistributionHead(name="age", first=0, size=3, unit="years")
    spec = acne_spec(heads=(head,))
    rows = list(csv.DictReader((ages / "manifest.csv").open()))[:8]
    folder = tmp_path / "three"
    folder.mkdir()
    lines = ["file,split,age"]
    # Ages 0, 1, 2 in the shares 1, 2, 1 of four: log p = log 1, log 2, log 1 and a constant.
    lines += [f"{row['file']},val,{age}" for row, age in zip(rows, [0, 1, 1, 2] * 2, strict=True)]
    shutil.copytree(ages / "images", folder / "images")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    right = torch.log(torch.tensor([1.0, 2.0, 1.0]))
    network = Answers(3.0 * right)  # three times too sure
    found = fit_temperature(spec, network.eval(), load_split(folder, "val"))
    assert found["age"] == pytest.approx(3.0, rel=1e-3)
    torch.testing.assert_close(network.heads[0].bias.detach(), right, rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_epoch(
    ages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeskin.tasks import perceived_age

    real, calls = perceived_age.loss, iter(range(99))

    def breaks(*args: object, **options: object) -> torch.Tensor:
        value = real(*args, **options)  # type: ignore[arg-type]
        return value * float("nan") if next(calls) == 4 else value  # of 3 steps an epoch

    monkeypatch.setattr(perceived_age, "loss", breaks)
    recipe = Recipe(**FAST | {"epochs": 3})
    said = r"loss is nan at step 5 of 9 \(epoch 2\); the checkpoint of epoch 1 is kept"
    with pytest.raises(TrainingDiverged, match=said):
        train("perceived_age", ARCH, ages, tmp_path / "run", recipe=recipe)
    assert (tmp_path / "run.checkpoint" / "last.pt").is_file()
    assert not (tmp_path / "run").exists()
    train("perceived_age", ARCH, ages, tmp_path / "run", recipe=recipe)  # goes on from there
    assert load_run(tmp_path / "run").spec.task == "perceived_age"


def test_weights_that_are_no_numbers_are_not_kept(
    ages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeskin.tasks import perceived_age

    real, calls = perceived_age.loss, iter(range(99))

    def breaks(spec: Spec, raw: tuple[torch.Tensor, ...], *rest: object) -> torch.Tensor:
        value = real(spec, raw, *rest)  # type: ignore[arg-type]
        # The root's slope at 0 has no limit: the loss is a number, and its gradient is none.
        return value + (0 * raw[0]).sqrt().sum() if next(calls) == 5 else value

    monkeypatch.setattr(perceived_age, "loss", breaks)
    recipe = Recipe(**FAST | {"epochs": 3})  # of 3 steps an epoch
    said = r"a weight is no number after step 6 of 9 \(epoch 2\); the checkpoint of epoch 1 is kept"
    with pytest.raises(TrainingDiverged, match=said):
        train("perceived_age", ARCH, ages, tmp_path / "run", recipe=recipe)
    assert not (tmp_path / "run").exists()
    train("perceived_age", ARCH, ages, tmp_path / "run", recipe=recipe)  # goes on from there
    state = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(tensor.isfinite().all() for tensor in state.values())
