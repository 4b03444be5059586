import math

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from sklearn import metrics as sk

from edgeskin.errors import ShapeMismatch
from edgeskin.metrics import (
    accuracy,
    auroc,
    balanced_accuracy,
    confusion,
    cosine_ratio,
    coverage,
    decibels,
    f1,
    interval_coverage,
    interval_hit,
    label_accuracy,
    mae,
    max_difference,
    mean_auroc,
    per_class,
    per_label,
    rmse,
    sqnr_db,
)

RNG = np.random.default_rng(7)
TRUTH = RNG.integers(0, 4, 200)
PREDICTED = np.where(RNG.random(200) < 0.6, TRUTH, RNG.integers(0, 4, 200))


@pytest.mark.parametrize("bits", [4, 8])
def test_sqnr_of_full_scale_uniform_signal_is_6_02_db_per_bit(bits: int) -> None:
    x = np.random.default_rng(7).uniform(-1.0, 1.0, 1_000_000)
    step = 2.0 / 2**bits
    quantized = (np.floor(x / step) + 0.5) * step  # error uniform in +-step/2
    # One sigma of the estimate at 1e6 samples is 0.0055 dB; 0.03 dB is five of them.
    assert sqnr_db(x, quantized) == pytest.approx(10 * math.log10(4**bits), abs=0.03)


def test_sqnr_at_the_edges() -> None:
    zeros, ones = np.zeros(3), np.ones(3)
    assert sqnr_db(ones, ones) == math.inf
    assert sqnr_db(zeros, ones) == -math.inf
    assert math.isnan(sqnr_db(ones, np.array([1.0, math.nan, 1.0])))


def test_shapes_are_not_broadcast() -> None:
    with pytest.raises(ShapeMismatch, match=r"reference is \(3,\), candidate is \(1, 3\)"):
        sqnr_db(np.ones(3), np.ones((1, 3)))


def test_cosine_and_largest_difference_agree_with_scipy_and_hand() -> None:
    a, b = RNG.normal(size=50), RNG.normal(size=50)
    assert cosine_ratio(a, b) == pytest.approx(1.0 - cosine(a, b), abs=1e-12)
    assert max_difference(np.array([1.0, 2.0]), np.array([1.5, -1.0])) == 3.0


def test_class_metrics_agree_with_scikit_learn() -> None:
    ours = per_class(TRUTH, PREDICTED, 4)
    precision, recall, _, _ = sk.precision_recall_fscore_support(TRUTH, PREDICTED)
    np.testing.assert_allclose(ours["precision"], precision)
    np.testing.assert_allclose(ours["SE"], recall)
    specificity = [sk.recall_score(k == TRUTH, k == PREDICTED, pos_label=False) for k in range(4)]
    np.testing.assert_allclose(ours["SP"], specificity)
    np.testing.assert_allclose(ours["YI"], recall + specificity - 1)
    np.testing.assert_array_equal(
        confusion(TRUTH, PREDICTED, 4), sk.confusion_matrix(TRUTH, PREDICTED)
    )
    assert accuracy(TRUTH, PREDICTED) == pytest.approx(sk.accuracy_score(TRUTH, PREDICTED))
    assert balanced_accuracy(TRUTH, PREDICTED) == pytest.approx(
        sk.balanced_accuracy_score(TRUTH, PREDICTED)
    )


def test_a_class_that_never_occurs_is_nan_not_zero() -> None:
    found = per_class(np.array([0, 0]), np.array([0, 1]), 3)
    assert math.isnan(found["SE"][2])
    assert math.isnan(found["precision"][2])
    assert found["SP"][2] == 1.0


def test_errors_of_values_agree_with_scikit_learn() -> None:
    a, b = RNG.normal(size=30), RNG.normal(size=30)
    assert mae(a, b) == pytest.approx(sk.mean_absolute_error(a, b))
    assert rmse(a, b) == pytest.approx(sk.root_mean_squared_error(a, b))


def test_decibels_of_noise_without_end() -> None:
    assert decibels(1.0, np.inf) == -np.inf


def test_mean_auroc_is_that_of_scikit_learn() -> None:
    """Scores of one decimal, so that many are equal; a label that all images have is left out."""
    rng = np.random.default_rng(5)
    truth = (rng.random((50, 4)) < 0.3).astype(np.int64)
    truth[:, 3] = 1
    scores = np.round(rng.random((50, 4)) + 0.2 * truth, 1)
    expected = sk.roc_auc_score(truth[:, :3], scores[:, :3], average="macro")
    assert mean_auroc(truth, scores) == pytest.approx(expected, rel=1e-12)
    assert mean_auroc(truth[:, 3:], scores[:, 3:]) == 0.5
    assert math.isnan(auroc(truth[:, 3], scores[:, 3]))


def test_each_label_has_the_table_of_its_own_two_classes() -> None:
    truth = np.array([[1, 0], [1, 1], [0, 1], [0, 1]])
    predicted = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
    table = per_label(truth, predicted)
    assert table["precision"] == [0.5, 1.0]
    assert table["SE"] == [0.5, pytest.approx(2 / 3)]
    assert table["SP"] == [0.5, 1.0]
    assert label_accuracy(truth, predicted) == 5 / 8


def test_hits_and_coverage_count_what_lies_inside() -> None:
    groups = np.array([[20.0, 29], [40, 49], [0, 2]])
    assert interval_hit(groups, np.array([29.4, 39.4, 1])) == pytest.approx(2 / 3)  # 39.4 is 39
    spans = np.array([[20.0, 25], [31, 40]])
    assert coverage(np.array([24.0, 30]), spans) == pytest.approx(1 / 2)


def test_an_annotated_interval_is_covered_by_its_share_inside() -> None:
    predicted = np.array([[25.0, 40], [0, 100], [30, 40], [12, 12]])
    annotated = np.array([[20.0, 29], [20, 29], [20, 29], [10, 14]])
    assert interval_coverage(annotated, predicted) == pytest.approx((0.5 + 1 + 0 + 0.2) / 4)
    values = np.array([[24.0, 24], [41, 41], [35, 35], [12, 12]])  # intervals of one value
    assert interval_coverage(values, predicted) == coverage(values[:, 0], predicted)


def test_f1_is_scikit_learns() -> None:
    rng = np.random.default_rng(4)
    truth, predicted = rng.integers(0, 2, (2, 50))
    assert f1(truth, predicted) == pytest.approx(sk.f1_score(truth, predicted))
    assert math.isnan(f1(np.zeros(3), np.zeros(3)))
