import json

import numpy as np
import pytest
import torch
from samples import acne_spec
from scipy import special

from edgeskin.models import app_model
from edgeskin.postprocess import (
    EPSILON,
    EmbeddingPrediction,
    LabelsPrediction,
    Prediction,
    TensorPrediction,
    decisions,
    decode,
    grade_of,
    interval,
    predict,
    range_matrix,
)
from edgeskin.spec import (
    ClassificationHead,
    EmbeddingHead,
    RegressionHead,
    SegmentationHead,
    TensorHead,
)

RNG = np.random.default_rng(11)
SPEC = acne_spec()
RAW = {
    "severity": RNG.normal(size=(3, 4)).astype(np.float32),
    "count": RNG.normal(scale=3, size=(3, 65)).astype(np.float32),
}


def test_numpy_and_torch_decode_alike_and_as_scipy_says() -> None:
    ours = decode(SPEC, RAW)
    theirs = app_model.decode(SPEC, tuple(torch.from_numpy(x) for x in RAW.values()))
    for name, tensor in zip(SPEC.output_names("app"), theirs, strict=True):
        np.testing.assert_allclose(ours[name], tensor.numpy(), rtol=2e-6)  # float32 rounding
    mass = special.softmax(RAW["count"].astype(np.float64), axis=1)
    np.testing.assert_allclose(ours["count"][:, 0], mass @ np.arange(1, 66), rtol=1e-5)


def test_segmentation_and_regression_decode_alike() -> None:
    spec = acne_spec(
        heads=(
            SegmentationHead(name="skin", labels=("background", "skin")),
            RegressionHead(name="age", unit="years", scale=10.0, offset=40.0),
        )
    )
    raw = {
        "skin": RNG.normal(size=(1, 2, 5, 6)).astype(np.float32),
        "age": np.array([[0.5]], np.float32),
    }
    ours = decode(spec, raw)
    theirs = app_model.decode(spec, tuple(torch.from_numpy(x) for x in raw.values()))
    assert ours["skin"].shape == (1, 5, 6, 2)
    np.testing.assert_allclose(ours["skin"], theirs[0].numpy(), rtol=2e-6)
    assert ours["age"] == 45.0
    area = predict(spec, ours)["skin"].area_fraction
    assert area["skin"] == pytest.approx(float((raw["skin"][0, 1] > raw["skin"][0, 0]).mean()))


@pytest.mark.parametrize(
    ("count", "grade"), [(0, 0), (5, 0), (5.5, 1), (6, 1), (20, 1), (21, 2), (50, 2), (51, 3)]
)
def test_hayashi_bounds_are_inclusive(count: float, grade: int) -> None:
    assert grade_of(np.array([count]), SPEC.heads[1].ranges)[0] == grade


def test_range_matrix_splits_the_support_into_5_15_30_15() -> None:
    matrix = range_matrix(SPEC.heads[1], SPEC.heads[1].ranges)
    assert matrix.sum(axis=0).tolist() == [5, 15, 30, 15]
    assert (matrix.sum(axis=1) == 1).all()


def test_decisions_follow_the_mass_not_the_mean() -> None:
    raw = dict(RAW, count=np.full((1, 65), -30, np.float32), severity=RAW["severity"][:1])
    raw["count"][0, [0, 64]] = [1.0, 0.0]  # 73 % on one lesion, 27 % on 65: the mean is 18
    decided = decisions(SPEC, decode(SPEC, raw))
    assert decided["count"][0] == 0
    assert decided["severity"][0] == RAW["severity"][0].argmax()


def test_interval_holds_at_least_its_share() -> None:
    mass = special.softmax(RNG.normal(size=40))
    low, high = interval(mass, np.arange(40.0), 0.8)
    assert mass[int(low) : int(high) + 1].sum() >= 0.8
    assert mass[int(low) + 1 : int(high)].sum() < 0.8


def test_a_prediction_reads_well() -> None:
    found = predict(SPEC, decode(SPEC, {k: v[:1] for k, v in RAW.items()}))
    assert set(found) == {"severity", "count"}
    assert found["count"].unit == "lesions"
    assert found["count"].grade in SPEC.heads[0].labels
    assert sum(found["severity"].probabilities.values()) == pytest.approx(1.0, abs=1e-6)


def test_a_prediction_comes_back_from_its_json() -> None:
    heads = (
        *SPEC.heads,
        SegmentationHead(name="skin", labels=("background", "skin")),
        RegressionHead(name="age", unit="years"),
    )
    spec = acne_spec(heads=heads)
    raw = {k: v[:1] for k, v in RAW.items()}
    raw |= {"skin": np.zeros((1, 2, 5, 6), np.float32), "age": np.array([[40.0]], np.float32)}
    prediction = predict(spec, decode(spec, raw))
    document = json.loads(json.dumps(prediction.to_json()))
    assert document["age"] == {"value": 40.0, "unit": "years"}
    assert set(document["count"]) == {"value", "unit", "interval_80", "grade"}
    assert Prediction.from_json(document) == prediction


OTHERS = acne_spec(
    heads=(
        ClassificationHead(name="signs", labels=("red", "dry", "spots"), activation="sigmoid"),
        EmbeddingHead(name="face", size=4, normalize="l2"),
        EmbeddingHead(name="plain", size=4),
        TensorHead(name="points", shape=(5, 2), unit="px", axes=("point", "xy")),
        TensorHead(name="age", shape=()),
    )
)
OTHERS_RAW = {
    "signs": np.array([[2.0, -1.0, 0.0]], np.float32),
    "face": RNG.normal(size=(1, 4)).astype(np.float32),
    "plain": RNG.normal(size=(1, 4)).astype(np.float32),
    "points": RNG.normal(size=(1, 5, 2)).astype(np.float32),
    "age": np.array([41.5], np.float32),
}


def test_labels_vectors_and_tensors_decode_alike() -> None:
    ours = decode(OTHERS, OTHERS_RAW)
    tensors = tuple(torch.from_numpy(x) for x in OTHERS_RAW.values())
    for name, theirs in zip(OTHERS_RAW, app_model.decode(OTHERS, tensors), strict=True):
        np.testing.assert_allclose(ours[name], theirs.numpy(), rtol=2e-6)  # float32 rounding
    face = torch.nn.functional.normalize(tensors[1].double(), dim=1)
    np.testing.assert_allclose(ours["face"], face.numpy(), rtol=1e-6)
    np.testing.assert_allclose(ours["signs"], special.expit(OTHERS_RAW["signs"]), rtol=1e-6)
    for name in ("plain", "points", "age"):
        np.testing.assert_array_equal(ours[name], OTHERS_RAW[name])


@pytest.mark.parametrize("size", [0.0, 1e-30, EPSILON**2, 1e3, 1e30])
def test_a_vector_of_any_size_is_brought_to_length_1_and_zeros_stay(size: float) -> None:
    """From EPSILON squared on; even squares that leave float32, as 300 squared leaves float16."""
    raw = {"face": np.array([[3.0, 0.0, -4.0, 0.0]]) * size}
    spec = acne_spec(heads=(OTHERS.heads[1],))
    ours = decode(spec, raw)["face"]
    (theirs,) = app_model.decode(spec, (torch.from_numpy(raw["face"]).float(),))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-6, atol=1e-20)
    length = 1.0 if size >= EPSILON**2 else 0.0
    assert np.linalg.norm(ours) == pytest.approx(length, abs=1e-6)


def test_labels_vectors_and_tensors_read_well_and_come_back() -> None:
    found = predict(OTHERS, decode(OTHERS, OTHERS_RAW))
    signs, face, points, age = (found[name] for name in ("signs", "face", "points", "age"))
    assert isinstance(signs, LabelsPrediction)
    assert signs.labels == ("red", "spots")  # a logit of 0 is 0.5
    assert isinstance(face, EmbeddingPrediction)
    assert (face.size, face.norm) == (4, pytest.approx(1.0, abs=1e-6))
    assert isinstance(points, TensorPrediction)
    assert (points.shape, points.unit) == ((5, 2), "px")
    np.testing.assert_array_equal(np.reshape(points.values, (5, 2)), OTHERS_RAW["points"][0])
    assert isinstance(age, TensorPrediction)
    assert (age.shape, age.values, age.min) == ((), (41.5,), 41.5)
    document = json.loads(json.dumps(found.to_json()))
    assert Prediction.from_json(document) == found


@pytest.mark.parametrize(("size", "kept"), [(1000, True), (1001, False)])
def test_a_large_tensor_gives_its_range_alone(size: int, kept: bool) -> None:
    spec = acne_spec(heads=(TensorHead(name="depth", shape=(size,), unit="m"),))
    document = predict(spec, {"depth": np.arange(size, dtype=np.float32)[None]}).to_json()["depth"]
    assert ("values" in document) is kept
    assert (document["min"], document["mean"], document["max"]) == (0, (size - 1) / 2, size - 1)


def test_labels_decide_one_by_one() -> None:
    decided = decisions(OTHERS, decode(OTHERS, OTHERS_RAW))
    assert set(decided) == {"signs"}
    assert decided["signs"].tolist() == [[1, 0, 1]]
