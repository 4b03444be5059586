"""What a model is worth, as a document: metrics by name, and whether a change is one."""

import json

import pytest

from edgeskin.errors import InvalidResult
from edgeskin.estimate import Estimate
from edgeskin.evaluation import Evaluation, MetricChange
from edgeskin.models.run import BUILTIN

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
