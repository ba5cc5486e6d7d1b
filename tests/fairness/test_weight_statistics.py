from __future__ import annotations

import math

import pytest
import torch

from sb_alexa.fairness.weight_statistics import GroupWeights, WeightStatistics


def test_equal_weights_have_all_entropy_and_no_spread() -> None:
    statistics = WeightStatistics.of(torch.full((50,), 2.0))
    assert statistics.entropy == pytest.approx(math.log(50))
    assert statistics.relative_entropy == pytest.approx(1)
    assert statistics.effective_samples == pytest.approx(50)
    assert (statistics.spread, statistics.largest) == (0, 1)


def test_a_collapse_shows_although_half_of_every_weight_is_fixed() -> None:
    weights = torch.ones(100)
    weights[7] += 100
    statistics = WeightStatistics.of(weights)
    assert statistics.entropy == pytest.approx(0)
    assert statistics.effective_samples == pytest.approx(1)
    assert statistics.largest == pytest.approx(50.5)


def test_group_weights_add_up_over_batches() -> None:
    total = GroupWeights({}, {})
    total += GroupWeights.of(torch.tensor([1.0, 2.0, 3.0]), ["a", "b", "b"])
    total += GroupWeights.of(torch.tensor([4.0]), ["c"])
    assert total.means == {"a": 0.5, "b": 1.25, "c": 2.0}
    assert total.counts == {"a": 1, "b": 2, "c": 1}
    with pytest.raises(ValueError, match="3 weights need as many groups, 2"):
        GroupWeights.of(torch.ones(3), ["a", "b"])
