"""Demos of the tasks: their table, their pictures, and one of them whole, with a tiny set."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edgeskin
from edgeskin.cli.main import run
from edgeskin.data.phantom_sets import SETS
from edgeskin.errors import UnknownName
from edgeskin.evaluation import measures
from edgeskin.images import decode
from edgeskin.models import ARCHS, MEAN, STD
from edgeskin.spec import InputSpec, Spec
from edgeskin.tasks import TASKS, find_task
from edgeskin.training.recipe import Recipe, read_recipe, recipes
from edgeskin.walkthrough import demo_plans
from edgeskin.walkthrough.answer_panels import PANELS
from edgeskin.walkthrough.demo_plans import BUILTIN_TASK, PLANS, find_plan
from edgeskin.walkthrough.shown_answers import MOST_SHOWN, Shown, choose, moved


def spec_of(task: str) -> Spec:
    return Spec(
        name="phantom",
        task=task,
        arch="resnet18",
        input=InputSpec(height=32, width=32, resize_to=32, mean=MEAN, std=STD),
        heads=find_task(task).load().heads(),
        license="CC0-1.0",
        intended_use="test",
        training_data="none",
        limits="none",
    )


def test_every_task_has_a_demo() -> None:
    assert {*PLANS, BUILTIN_TASK} == set(TASKS)


@pytest.mark.parametrize("task", PLANS)
def test_plans_name_phantoms_networks_and_metrics_that_there_are(task: str) -> None:
    plan = find_plan(task)
    assert plan.phantoms in SETS
    known = [read_recipe(path) for path in recipes().values()]
    assert plan.arch in {recipe["arch"] for recipe in known if recipe["task"] == task}
    assert plan.size % ARCHS[plan.arch].multiple == 0
    spec = spec_of(task)
    assert spec.heads[0].kind in PANELS
    head = spec.heads[0].name
    truth: dict[str, NDArray[np.int64]] = {
        "segmentation": {head: np.arange(3)[:, None, None] * np.ones((3, 8, 8), int)},
        "classification": {head: np.arange(3) % 2},
        "distribution": {head: np.array([[20, 20], [30, 39], [50, 50]])},
    }[spec.heads[0].kind]
    assert set(plan.shown) <= {measure.name for measure in measures(spec, truth)}
    Recipe(**{**find_task(task).load().RECIPE, **plan.settings})  # no setting is misspelt


def test_an_unknown_task_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownName, match="no demo of a task 'teeth'; there are acne, acne_pre"):
        edgeskin.demo(tmp_path / "demo", task="teeth")
    assert run(["demo", "--task", "teeth", "--out", str(tmp_path / "demo")]) == 2
    assert "no demo of a task 'teeth'" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_shown_images_are_the_most_moved_of_each_class_or_stretch() -> None:
    classes = np.array([2, 0, 1, 1, 0, 2, 0, 1, 2, 0])
    moves = np.array([3, 1, 9, 0, 2, 1, 8, 4, 5, 0])
    # Of 0: images 6 and 4, of 1: 2 and 7, of 2: 8 and 0.
    assert choose(classes, moves) == [6, 4, 2, 7, 8, 0]
    ages = np.array([[a, a + 2] for a in range(80, 17, -1)])  # 63 images, 9 a stretch
    moves = np.zeros(63)
    moves[[0, 13, 60]] = 1.0
    chosen = ages[choose(ages, moves)][:, 0]
    assert len(chosen) == MOST_SHOWN
    assert (np.diff(chosen) > 0).all()
    assert {80, 67, 20} <= set(chosen.tolist())
    assert choose(np.zeros((9, 8, 8)), np.arange(9)) == [3, 4, 5, 6, 7, 8]


def test_a_move_is_that_of_one_image_s_outputs() -> None:
    before = {"age": np.zeros((3, 1)), "mass": np.zeros((3, 4))}
    after = {"age": np.array([[0.0], [2.0], [0.0]]), "mass": np.zeros((3, 4))}
    after["mass"][2] = [1.0, 0.0, 0.0, -1.0]
    assert moved(before, after).tolist() == [0.0, 2.0, 0.5]


@contextmanager
def panels(shown: Shown) -> Iterator[Any]:
    """The drawn figure."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure: Any = plt.figure(figsize=(8, 6), dpi=60, layout="constrained")
    PANELS[shown.spec.heads[0].kind].draw(figure, shown)
    figure.canvas.draw()
    yield figure
    plt.close(figure)


def test_pixels_that_int8_flips_are_shown() -> None:
    spec, truth = spec_of("face_skin"), np.zeros((2, 16, 16), np.int64)
    truth[:, 4:12, 4:12] = 1
    by_float = np.stack([1.0 - truth, truth], axis=-1)
    by_int8 = by_float.copy()
    by_int8[:, 4:8, 4:8] = [1.0, 0.0]
    pixels = np.full((2, 32, 32, 3), 128, np.uint8)

    def magenta(after: NDArray[np.float64]) -> int:
        answers = ({"skin": by_float}, {"skin": after})
        with panels(Shown(spec, pixels, truth, ("a", "b"), answers)) as figure:
            picture = np.asarray(figure.canvas.buffer_rgba()).astype(int)
        return int(((picture[..., 0] > 220) & (picture[..., 1] < 40)).sum())

    assert magenta(by_float) == 0
    assert magenta(by_int8) > 100


def test_crops_are_framed_where_the_rule_takes_them() -> None:
    spec, levels = spec_of("skin_lesions"), np.ones((1, 64, 64), np.int64)
    pixels = np.full((1, 64, 64, 3), 128, np.uint8)

    def frames(truth: NDArray[np.int64]) -> set[tuple[float, float, float]]:
        answer = {"regions": np.eye(3)[truth]}
        with panels(Shown(spec, pixels, truth, ("a", "b"), (answer, answer))) as figure:
            patches = [patch for axes in figure.axes for patch in axes.patches]
        return {(patch.get_x(), patch.get_y(), patch.get_width()) for patch in patches}

    assert frames(levels) == set()
    spotted = levels.copy()
    spotted[:, 24:40, 24:40] = 2
    spotted[:, :20, 44:] = 0
    assert frames(spotted)
    for x, y, side in frames(spotted):
        left, top, width = round(x + 0.5), round(y + 0.5), round(side)
        crop = spotted[0, top : top + width, left : left + width]
        assert (crop > 0).mean() > 0.8
        assert (crop == 2).mean() > 0.1


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo with few images, one epoch and a network that converts soon."""
    plan = find_plan("perceived_age")
    settings = {**plan.settings, "epochs": 1, "pretrained": False}
    sizes = {"train": 40, "val": 4, "test": 8, "drawn": 96, "size": 64}
    tiny = replace(plan, arch="resnet18", settings=settings, **sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(demo_plans.PLANS, plan.task, tiny)  # type: ignore[arg-type]
        out = tmp_path_factory.mktemp("demo") / "demo"
        assert run(["demo", "--task", plan.task, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_a_demo_makes_six_files_that_agree_with_float(demo: Path) -> None:
    report = json.loads((demo / "demo.json").read_text())
    files = [(row["target"], row["precision"]) for row in report["rows"]]
    assert files == [(t, p) for p in ("fp32", "int8") for t in ("tflite", "coreml", "onnx")]
    for row in report["rows"]:
        assert (demo / "artifacts" / row["file"]).exists()
        assert float(row["verification"]["sqnr_db"]) > (60 if row["precision"] == "fp32" else 10)
        assert set(report["shown"]) <= set(row["verification"]["metrics"])


@pytest.mark.slow
def test_the_run_says_that_it_knows_phantoms_alone(demo: Path) -> None:
    spec = Spec.load(demo / "run")
    assert "phantoms" in spec.limits
    assert "CC0-1.0" in spec.license
    with edgeskin.load(next((demo / "artifacts").glob("*int8.tflite"))) as model:
        assert model.spec.limits == spec.limits


@pytest.mark.slow
def test_the_picture_shows_test_images_and_is_no_blank(demo: Path) -> None:
    picture = decode(demo / "demo.png")
    assert picture.shape[1] > 900
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3000


@pytest.mark.slow
def test_the_phantoms_stay_for_other_commands(demo: Path) -> None:
    with (demo / "phantoms" / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["split"] == "test" for row in rows) == 8
