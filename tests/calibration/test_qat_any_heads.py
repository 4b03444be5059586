"""QAT of a network of nobody's task: unlabelled photos, some labels, the losses of the heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from head_kinds import SIGNS, many_heads_spec
from PIL import Image
from samples import acne_spec
from scipy import special
from torch import Tensor, nn

import edgeskin
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.program import load_program
from edgeskin.calibration.qat import Judge
from edgeskin.calibration.qat_recipe import QatRecipe
from edgeskin.calibration.qat_run import qat_recipe
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidData
from edgeskin.models.architectures import build
from edgeskin.models.run import save_run
from edgeskin.spec import ClassificationHead, DistributionHead, Head, RegressionHead
from edgeskin.tasks import acne, any_heads, objective_of

SPEC = many_heads_spec()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("many") / "run"
    save_run(out, SPEC, build(SPEC, trust=True))
    return out


def photos(folder: Path, column: str = "") -> Path:
    """Sixteen images to train on and eight held out, with a label column or without."""
    rng = np.random.default_rng(3)
    lines = ["file,split" + (f",{column}" if column else "")]
    for i in range(24):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 40)).save(folder / f"{i}.png")
        label = ("redness", "dryness|spots", "")[i % 3]
        lines.append(f"{i}.png,{'val' if i > 15 else 'train'}" + (f",{label}" if column else ""))
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def recipe(**changes: object) -> QatRecipe:
    settings = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-4, "average_decay": 0.0}
    return QatRecipe(**{**settings, **changes})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "metric", "samples", "changes"),
    [
        # Two images give narrow ranges, which training widens.
        ("", "signs_equal_decisions", 2, {"learning_rate": 1e-5, "range_rate": 1e-2}),
        ("signs", "signs_accuracy", 8, {"learning_rate": 1e-3, "distill": 0.5}),
    ],
    ids=["unlabelled", "labelled"],
)
def test_a_network_of_nobodys_task_is_trained_with_its_quantization(
    column: str,
    metric: str,
    samples: int,
    changes: dict[str, object],
    run: Path,
    tmp_path: Path,
) -> None:
    data, out = photos(tmp_path, column), tmp_path / "q.pt2"
    options = CalibrationOptions(method="minmax", samples=samples)
    made = edgeskin.qat(run, data, out, options, recipe=recipe(**changes), trust=True)
    record = made.calibration.qat
    assert record is not None
    assert (record.metric, record.held_out_images) == (metric, 8)
    assert min(epoch.loss for epoch in record.epochs) < record.start.loss
    assert load_program(out).calibration.method == "qat"


def test_the_settings_of_such_a_network_weigh_labels_and_outputs(run: Path) -> None:
    assert qat_recipe(run).distill == 0.5
    assert objective_of(SPEC) is any_heads
    assert objective_of(acne_spec()) is acne
    # A network of the task's name without the head that its loss reads is nobody's.
    assert objective_of(acne_spec(heads=acne_spec().heads[:1])) is any_heads


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distill": 0.0}, "the manifest has no labels, and distill is 0"),
        ({"balanced": True}, "a balanced recipe needs class labels"),
    ],
)
def test_what_needs_labels_is_refused_without_them(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    held_out = load_split(photos(tmp_path), "val")
    with pytest.raises(InvalidData, match=message):
        Judge(SPEC, any_heads, recipe(**changes), held_out, build(SPEC, trust=True))


def test_without_decisions_it_is_judged_by_the_cosine(tmp_path: Path) -> None:
    spec = many_heads_spec(heads=SPEC.heads[1:])
    network = build(SPEC, trust=True)
    rest = nn.Sequential(network, Rest())
    judge = Judge(spec, any_heads, recipe(), load_split(photos(tmp_path), "val"), rest)
    assert judge.measure.name == "face_cosine"
    score = judge(rest)
    assert (score.metric, score.loss) == (pytest.approx(1.0), 0.0)


class Rest(nn.Module):
    """All outputs but the first."""

    def forward(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return outputs[1:]


RAW = np.random.default_rng(4).normal(scale=2.0, size=(5, 3))


def log_probability(place: int) -> np.ndarray:
    return special.log_softmax(RAW, axis=1)[:, place]


@pytest.mark.parametrize(
    ("head", "truth", "expected"),
    [
        (
            ClassificationHead(name="x", labels=SIGNS),
            np.full(5, 2),
            -log_probability(2).mean(),
        ),
        (
            ClassificationHead(name="x", labels=SIGNS, activation="sigmoid"),
            np.tile([1, 0, 1], (5, 1)),
            -np.log(special.expit(RAW * [1, -1, 1])).mean(),
        ),
        (  # 2.5 lies a quarter of the way from 2 to 4
            DistributionHead(name="x", first=2, step=2, size=3, unit="mm"),
            np.full(5, 2.5),
            -(0.75 * log_probability(0) + 0.25 * log_probability(1)).mean(),
        ),
        (  # beyond the last value
            DistributionHead(name="x", first=2, step=2, size=3, unit="mm"),
            np.full(5, 9.0),
            -log_probability(2).mean(),
        ),
        (
            RegressionHead(name="x", unit="mm", scale=2.0, offset=1.0),
            np.arange(1.0, 6.0),
            ((2 * RAW[:, 0] + 1 - np.arange(1.0, 6.0)) ** 2).mean() / 11.0,
        ),
    ],
    ids=["class", "labels", "between two values", "beyond", "value"],
)
def test_the_loss_of_a_head(head: Head, truth: np.ndarray, expected: float) -> None:
    spec = acne_spec(heads=(head,))
    raw = RAW[:, :1] if isinstance(head, RegressionHead) else RAW
    found = any_heads.loss(spec, (torch.from_numpy(raw),), {"x": torch.from_numpy(truth)})
    assert float(found) == pytest.approx(expected, rel=1e-5)  # float32 against float64
    assert float(any_heads.loss(spec, (torch.from_numpy(raw),), {})) == 0.0
