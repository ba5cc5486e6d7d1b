from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.losses.pairwise_logistic import PairwiseLogisticLoss

SPEAKERS = torch.tensor([1, 0, 1, 2, 0, 2, 2])  # speakers may have unequal numbers here


def slow_losses(x: Tensor, weights: Tensor) -> Tensor:
    losses = []
    for i, speaker in enumerate(SPEAKERS.tolist()):
        same: list[Tensor] = []
        other: list[Tensor] = []
        for j, partner in enumerate(SPEAKERS.tolist()):
            if i == j:
                continue
            logit = 3 * F.cosine_similarity(x[i], x[j], dim=0) - 1
            chance = logit.sigmoid() if partner == speaker else 1 - logit.sigmoid()
            pair = -(weights[i] + weights[j]) / 2 * chance.log()
            (same if partner == speaker else other).append(pair)
        losses.append((torch.stack(same).mean() + torch.stack(other).mean()) / 2)
    return torch.stack(losses)


@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_are_those_of_all_pairs(weighted: bool) -> None:
    x = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(7, dtype=torch.float64) + 0.1 if weighted else torch.ones(7).double()
    loss = PairwiseLogisticLoss(scale=3.0, offset=-1.0)
    found = loss(x, SPEAKERS, sample_weights=weights if weighted else None)
    expected = slow_losses(x, weights)
    assert torch.allclose(found, expected, atol=1e-12)
    probe = torch.randn(7, dtype=torch.float64)
    (found_grad,) = torch.autograd.grad(found @ probe, x, retain_graph=True)
    (expected_grad,) = torch.autograd.grad(expected @ probe, x)
    assert torch.allclose(found_grad, expected_grad, atol=1e-12)
    rows = torch.tensor([5, 1])
    some = loss(x, SPEAKERS, rows, weights if weighted else None)
    assert torch.allclose(some, found[rows], atol=1e-14)


def test_utterances_without_pairs_are_refused() -> None:
    loss = PairwiseLogisticLoss()
    with pytest.raises(ValueError, match="speaker 1 has no pair with its own speaker"):
        loss(torch.randn(3, 4), torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match="speaker 4 has no pair with another speaker"):
        loss(torch.randn(3, 4), torch.tensor([4, 4, 4]))
    with pytest.raises(ValueError, match="scale must be > 0"):
        PairwiseLogisticLoss(scale=-1.0)
