"""The three-part loss against an independent computation with scipy."""

import numpy as np
import pytest
import torch
from samples import acne_spec
from scipy import special, stats

from edgeskin.errors import UnknownName
from edgeskin.tasks.acne import RANGES, heads, label_distribution, loss

SPEC = acne_spec()
RNG = np.random.default_rng(5)


def test_label_distribution_is_a_discretised_gaussian() -> None:
    values = np.arange(1, 66)
    found = label_distribution(torch.tensor([10.0, 0.0, 80.0]), torch.arange(1.0, 66.0), 3.0)
    for row, center in zip(found.numpy(), (10, 1, 65), strict=True):  # clipped to the support
        density = stats.norm.pdf(values, center, 3.0)
        np.testing.assert_allclose(row, density / density.sum(), atol=1e-6)


def test_loss_is_the_sum_of_its_three_divergences() -> None:
    raw = RNG.normal(size=(2, 4)), RNG.normal(size=(2, 65))
    counts = np.array([4.0, 33.0])
    expected = 0.0
    for i in range(2):
        target = stats.norm.pdf(np.arange(1, 66), counts[i], 3.0)
        target /= target.sum()
        bounds = np.split(np.arange(65), [5, 20, 50])
        grade_target = np.array([target[b].sum() for b in bounds])
        count, grade = special.softmax(raw[1][i]), special.softmax(raw[0][i])
        summed = np.array([count[b].sum() for b in bounds])
        by_count = stats.entropy(grade_target, summed) + stats.entropy(target, count)
        expected += 0.3 * by_count + 0.4 * stats.entropy(grade_target, grade)
    tensors = tuple(torch.from_numpy(x).float() for x in raw)
    found = loss(SPEC, tensors, {"count": torch.from_numpy(counts)})
    assert found.item() == pytest.approx(expected / 2, rel=1e-4)  # float32 against float64


def test_loss_is_zero_for_a_perfect_answer() -> None:
    target = label_distribution(torch.tensor([12.0]), torch.arange(1.0, 66.0), 3.0)
    grades = torch.stack([t.sum() for t in target[0].split([5, 15, 30, 15])])[None]
    found = loss(SPEC, (grades.log(), (target + 1e-30).log()), {"count": torch.tensor([12.0])})
    assert found.item() == pytest.approx(0.0, abs=1e-5)


def test_both_range_tables_build_heads() -> None:
    assert heads("hayashi")[1].ranges.upper == (5, 20, 50)
    assert heads("authors")[1].ranges == RANGES["authors"]
    with pytest.raises(UnknownName, match="no range table 'mine'; there are hayashi, authors"):
        heads("mine")
