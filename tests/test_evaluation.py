"""What a model is worth, as a document: metrics by name, and whether a change is one."""

import json

import numpy as np
import pytest
from samples import acne_spec

from edgeskin.errors import InvalidResult
from edgeskin.estimate import Estimate
from edgeskin.evaluation import (
    COVERAGE,
    RATIO,
    Evaluation,
    MetricChange,
    MetricKind,
    compare,
    evaluate,
)
from edgeskin.models.run import BUILTIN
from edgeskin.spec import DistributionHead, SegmentationHead

SHIPPED = json.loads((BUILTIN / "metrics.json").read_text())["val"]


def test_metrics_of_a_run_on_disk_are_read_and_written_alike() -> None:
    evaluation = Evaluation.from_json(SHIPPED)
    assert evaluation.metrics["count_mae"].unit == "lesions"
    assert evaluation.per_class["severity"].mean_SE == pytest.approx(0.917, abs=5e-4)
    assert json.loads(json.dumps(evaluation.to_json())) == SHIPPED
    assert Evaluation.from_json(json.dumps(evaluation.to_json())) == evaluation


def test_a_metric_without_its_interval_is_refused() -> None:
    damaged = SHIPPED | {"count_mae": {"unit": "lesions", "value": 2.2}}
    with pytest.raises(InvalidResult, match=r"metrics.json does not fit Evaluation: .*count_mae"):
        Evaluation.from_json(damaged, where="metrics.json")


@pytest.mark.parametrize(
    ("low", "high", "significant"),
    [(0.1, 0.3, True), (-0.3, -0.1, True), (-0.1, 0.3, False), (0.0, 0.3, False)],
)
def test_a_change_is_significant_where_its_interval_excludes_zero(
    low: float, high: float, significant: bool
) -> None:
    change = MetricChange(
        unit="lesions",
        higher_is_better=False,
        reference=2.0,
        candidate=2.1,
        change=Estimate(value=0.1, low=low, high=high),
    )
    assert change.significant is significant


@pytest.mark.parametrize(
    ("kind", "before", "after", "loss"),
    [
        (RATIO, 0.9, 0.8, 0.1),
        (MetricKind(unit="years", higher_is_better=False), 4.0, 3.0, -1.0),
        (COVERAGE, 0.8, 0.95, 0.15),
        (COVERAGE, 0.95, 0.75, -0.1),
    ],
)
def test_a_loss_is_what_lies_further_from_the_better_values(
    kind: MetricKind, before: float, after: float, loss: float
) -> None:
    change = MetricChange(
        **dict(kind),
        reference=before,
        candidate=after,
        change=Estimate(value=after - before, low=0.0, high=0.0),
    )
    assert change.loss == pytest.approx(loss)


@pytest.mark.parametrize(("higher", "nominal"), [(None, None), (True, 0.8)])
def test_a_metric_has_one_direction(higher: bool | None, nominal: float | None) -> None:
    with pytest.raises(InvalidResult, match="either higher_is_better or nominal"):
        MetricKind.from_json({"unit": "ratio", "higher_is_better": higher, "nominal": nominal})


def test_dice_and_iou_of_masks_are_means_over_images() -> None:
    """By hand: 4 of 4 and 6 pixels in common, then none of 2 and 0; an image without either."""
    truth = np.zeros((3, 8, 8), np.int16)
    truth[0, :2, :2] = 1  # 4 pixels
    truth[1, 0, :2] = 1
    truth[0, 7, 7] = -1  # not annotated: what is predicted there does not count
    decided = np.zeros((3, 8, 8), np.int64)
    decided[0, :2, :3] = 1  # 6 pixels, 4 of them right
    decided[0, 7, 7] = 1
    decoded = {"lesion": np.stack([1.0 - decided, decided], axis=-1)}
    head = SegmentationHead(name="lesion", labels=("skin", "lesion"))
    spec = acne_spec(heads=(head,))
    metrics = evaluate(spec, decoded, {"lesion": truth}).metrics
    assert set(metrics) == {"lesion_lesion_dice", "lesion_lesion_iou"}
    assert metrics["lesion_lesion_dice"].value == pytest.approx((2 * 4 / (4 + 6) + 0.0) / 2)
    assert metrics["lesion_lesion_iou"].value == pytest.approx((4 / 6 + 0.0) / 2)
    best = {"lesion": np.stack([truth != 1, truth == 1], axis=-1).astype(np.float32)}
    change = compare(spec, decoded, best, {"lesion": truth})["lesion_lesion_dice"]
    assert change.candidate == 1.0
    assert change.change.value == pytest.approx(0.6)


def test_masks_are_compared_at_the_size_of_the_output() -> None:
    truth = np.zeros((1, 8, 8), np.int16)
    truth[0, :4] = 1
    decided = np.zeros((1, 4, 4), np.int64)
    decided[0, :2] = 1
    decoded = {"lesion": np.asarray(decided[..., None], np.float32)}
    head = SegmentationHead(name="lesion", labels=("lesion",), activation="sigmoid")
    evaluation = evaluate(acne_spec(heads=(head,)), decoded, {"lesion": truth[..., None]})
    assert evaluation.metrics["lesion_lesion_iou"].value == 1.0


def test_metrics_of_ages_take_the_labels_that_they_are_for() -> None:
    head = DistributionHead(name="age", first=0, size=101, unit="years")
    spec = acne_spec(heads=(head,))
    truth = {"age": np.array([[24.0, 24], [20, 29], [30, 30], [40, 49]])}
    mass = np.zeros((4, 101), np.float32)
    mass[range(4), [26, 29, 27, 39]] = 1.0
    decoded = {"age": np.array([[26.0], [29], [27], [39]]), "age_distribution": mass}
    found = {name: m.value for name, m in evaluate(spec, decoded, truth).metrics.items()}
    assert found == {
        "age_mae": 2.5,
        "age_rmse": pytest.approx(np.sqrt((4 + 9) / 2)),
        "age_coverage_80": 0.0,
        "age_hit": 0.5,
        "age_interval_coverage_80": pytest.approx((1 / 10 + 0) / 2),
    }
    assert compare(spec, decoded, decoded, truth)["age_coverage_80"].nominal == 0.8
