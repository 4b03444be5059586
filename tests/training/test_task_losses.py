"""The losses of the tasks against numpy and scipy."""

from itertools import product

import numpy as np
import pytest
import torch
from samples import acne_spec
from scipy import special, stats

from edgeskin.errors import InvalidData, UnknownName
from edgeskin.tasks import TASKS, acne, face_skin, objective_of, perceived_age, skin_lesions
from edgeskin.tasks.losses import earth_movers, interval_loss, mask_loss

RNG = np.random.default_rng(11)
AGES = acne_spec(task="perceived_age", heads=perceived_age.heads())


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_has_heads_and_trains_on_some_of_them(name: str) -> None:
    task = TASKS[name].load()
    spec = acne_spec(task=name, heads=task.heads())
    assert set(task.TRAINS_ON) <= {head.name for head in spec.heads}
    assert objective_of(spec) is task
    assert task.INTENDED_USE.startswith("Research")
    assert task.LIMITS


@pytest.mark.parametrize("name", ["melanoma", "lesion_classification", "acne_presence"])
def test_the_class_loss_is_smoothed_cross_entropy(name: str) -> None:
    module = TASKS[name].load()
    (head,) = module.heads()
    labels, smoothing = len(head.labels), 0.2  # type: ignore[union-attr]
    raw = np.random.default_rng(0).normal(size=(5, labels))
    truth = np.arange(5) % labels
    logp = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
    target = np.full((5, labels), smoothing / labels)
    target[np.arange(5), truth] += 1 - smoothing
    found = module.loss(
        acne_spec(task=name, heads=(head,)),
        (torch.tensor(raw),),
        {head.name: torch.tensor(truth)},
        smoothing=smoothing,
    )
    assert float(found) == pytest.approx(-(target * logp).sum(axis=1).mean(), rel=1e-5)


def test_the_mask_loss_is_cross_entropy_of_known_pixels_and_dice() -> None:
    logits, truth = RNG.normal(size=(2, 3, 4, 5)), RNG.integers(-1, 3, (2, 4, 5))
    p = special.softmax(logits, axis=1)
    pixels = [(n, y, x) for n, y, x in product(range(2), range(4), range(5)) if truth[n, y, x] >= 0]
    entropy = -np.mean([np.log(p[n, truth[n, y, x], y, x]) for n, y, x in pixels])
    dices = []
    for label in (1, 2):
        both = sum(p[n, label, y, x] for n, y, x in pixels if truth[n, y, x] == label)
        either = sum(p[n, label, y, x] + (truth[n, y, x] == label) for n, y, x in pixels)
        dices.append((2 * both + 1) / (either + 1))
    found = mask_loss(torch.from_numpy(logits), torch.from_numpy(truth))
    assert found.item() == pytest.approx(entropy + 1 - np.mean(dices), rel=1e-6)


@pytest.mark.parametrize(("task", "labels"), [(face_skin, 2), (skin_lesions, 3)])
def test_a_right_mask_costs_next_to_nothing(task: object, labels: int) -> None:
    truth = torch.from_numpy(RNG.integers(0, labels, (2, 8, 8)))
    right = 50.0 * torch.nn.functional.one_hot(truth, labels).permute(0, 3, 1, 2).float()
    spec = acne_spec(heads=task.heads())  # type: ignore[attr-defined]
    name = spec.heads[0].name
    loss = task.loss  # type: ignore[attr-defined]
    assert loss(spec, (right,), {name: truth}).item() == pytest.approx(0.0, abs=1e-5)
    assert loss(spec, (-right,), {name: truth}).item() > 10.0


def test_earth_movers_distance_grows_with_the_distance_between_grades() -> None:
    grades = torch.eye(4, dtype=torch.float64)
    # One mass moved by k grades differs in k entries of the cumulative distribution, by 1 each.
    for k in range(4):
        assert earth_movers(grades[:1], grades[k : k + 1]).item() == pytest.approx(k)


def test_the_interval_loss_is_the_likelihood_of_the_interval() -> None:
    mass = special.softmax(RNG.normal(size=(3, 101)), axis=1)
    low, high = np.array([0, 20, 70]), np.array([2, 29, 100])
    ends = (torch.from_numpy(e).double() for e in (low, high))
    found = interval_loss(torch.from_numpy(np.log(mass)), torch.arange(101).double(), *ends)
    expected = [-np.log(m[a : b + 1].sum()) for m, a, b in zip(mass, low, high, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_an_interval_beyond_all_values_is_the_value_next_to_it() -> None:
    log_mass = torch.from_numpy(RNG.normal(size=(2, 101))).log_softmax(dim=1)
    ends = (torch.tensor(e, dtype=torch.float64) for e in ((105.0, -9.0), (116.0, -4.0)))
    found = interval_loss(log_mass, torch.arange(101).double(), *ends)
    torch.testing.assert_close(found, -torch.stack([log_mass[0, 100], log_mass[1, 0]]))


@pytest.mark.parametrize("ends", [(105.0, 116.0), (116.0, 116.0), (0.0, 2.0)])
@pytest.mark.parametrize("surest", [1.0, 1e4, 3e38])
def test_however_far_an_age_lies_the_loss_and_its_gradient_are_numbers(
    ends: tuple[float, float], surest: float
) -> None:
    raw = torch.zeros(1, 101)
    raw[0, 50] = surest
    raw.requires_grad_(True)
    loss = perceived_age.loss(AGES, (raw,), {"age": torch.tensor([ends])})
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(raw.grad).all()


def test_exact_ages_and_intervals_are_in_one_loss() -> None:
    raw = RNG.normal(size=(2, 101)).astype(np.float32)
    mass = special.softmax(raw.astype(np.float64), axis=1)
    gauss = stats.norm.pdf(np.arange(101), 31, 2.0)
    exact = -np.sum(gauss / gauss.sum() * np.log(mass[0]))
    inside = -np.log(mass[1, 40:50].sum())
    means = mass @ np.arange(101)
    away = [abs(means[0] - 31), max(40 - means[1], 0) + max(means[1] - 49, 0)]
    truth = {"age": torch.tensor([[31.0, 31.0], [40.0, 49.0]])}
    found = perceived_age.loss(AGES, (torch.from_numpy(raw),), truth).item()
    assert found == pytest.approx((exact + inside + 0.1 * sum(away)) / 2, rel=1e-5)
    alone = perceived_age.loss(AGES, (torch.from_numpy(raw[:1]),), {"age": torch.tensor([31.0])})
    assert alone.item() == pytest.approx(exact + 0.1 * away[0], rel=1e-5)


def test_the_ablations_of_the_acne_loss() -> None:
    spec, counts = acne_spec(), np.array([4.0, 33.0])
    raw = tuple(RNG.normal(size=(2, n)).astype(np.float32) for n in (4, 65))
    tensors = tuple(map(torch.from_numpy, raw))
    truth = {"count": torch.from_numpy(counts), "severity": torch.tensor([0, 2])}
    count = special.softmax(raw[1].astype(np.float64), axis=1)
    squared = np.mean(((count @ np.arange(1, 66) - counts) / 10) ** 2)
    target = stats.norm.pdf(np.arange(1, 66), counts[:, None], 3.0)
    target /= target.sum(axis=1, keepdims=True)
    divergence = np.mean([stats.entropy(t, c) for t, c in zip(target, count, strict=True)])
    assert acne.loss(spec, tensors, truth, kind="l2").item() == pytest.approx(squared, rel=1e-5)
    assert acne.loss(spec, tensors, truth, kind="kl").item() == pytest.approx(divergence, rel=1e-5)
    for kind in ("three_part", "emd"):
        counted = acne.loss(spec, tensors, truth, kind=kind)
        assert acne.loss(spec, tensors, truth, kind=kind, grades="annotated") != counted
    with pytest.raises(UnknownName, match="no loss 'mse' of acne"):
        acne.loss(spec, tensors, truth, kind="mse")
    with pytest.raises(InvalidData, match="needs a column 'severity'"):
        acne.loss(spec, tensors, {"count": truth["count"]}, grades="annotated")
