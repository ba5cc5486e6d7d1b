from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
from sb_alexa.losses.speaker_loss import pair_weights

# 4 speakers with 3 utterances each, in no order.
SPEAKERS = torch.tensor([7, 2, 2, 9, 4, 7, 9, 4, 4, 2, 9, 7])


def embeddings(size: int = 5) -> Tensor:
    return torch.randn(len(SPEAKERS), size, dtype=torch.float64, requires_grad=True)


def sample_weights() -> Tensor:
    weights = torch.rand(len(SPEAKERS), dtype=torch.float64) + 0.1
    return weights / weights.mean()


def slow_losses(x: Tensor, speakers: Tensor, scale: float, weights: Tensor) -> Tensor:
    """The equation of the docstring, pair by pair."""
    members = {s: (speakers == s).nonzero().squeeze(1).tolist() for s in speakers.tolist()}
    losses = []
    for query, speaker in enumerate(speakers.tolist()):
        position = members[speaker].index(query)
        own, total = None, torch.zeros((), dtype=x.dtype)
        for other in members:
            rest = [i for p, i in enumerate(members[other]) if p != position]
            logit = scale * F.cosine_similarity(x[query], x[rest].mean(0), dim=0)
            weight = (weights[query] + weights[rest].mean()) / 2
            if other == speaker:
                own = (logit, weight)
                total = total + logit.exp()
            else:
                total = total + weight * logit.exp()
        assert own is not None
        losses.append(-own[1] * (own[0].exp() / total).log())
    return torch.stack(losses)


@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_are_those_of_the_equation(weighted: bool) -> None:
    x, weights = embeddings(), sample_weights()
    found = AngularPrototypicalLoss(scale=4.0)(
        x, SPEAKERS, sample_weights=weights if weighted else None
    )
    expected = slow_losses(x, SPEAKERS, 4.0, weights if weighted else torch.ones_like(weights))
    assert torch.allclose(found, expected, atol=1e-12)
    probe = torch.randn(len(SPEAKERS), dtype=torch.float64)
    (found_grad,) = torch.autograd.grad(found @ probe, x)
    (expected_grad,) = torch.autograd.grad(expected @ probe, x)
    assert torch.allclose(found_grad, expected_grad, atol=1e-12)


def test_the_last_query_has_the_loss_of_the_reference() -> None:
    # Chung et al.: the last utterance against the means of all but the last, with an offset.
    x = torch.randn(6, 3, 8, dtype=torch.float64)  # speakers, utterances, features
    logits = 10 * F.cosine_similarity(x[:, -1, None], x[:, :-1].mean(1)[None], dim=2) - 5
    expected = F.cross_entropy(logits, torch.arange(6), reduction="none")
    losses = AngularPrototypicalLoss()(x.view(18, 8), torch.arange(6).repeat_interleave(3))
    assert torch.allclose(losses.view(6, 3)[:, -1], expected, atol=1e-12)


def test_equal_weights_are_no_weights() -> None:
    x, loss = embeddings(), AngularPrototypicalLoss()
    plain, equal = loss(x, SPEAKERS), loss(x, SPEAKERS, sample_weights=torch.ones(len(SPEAKERS)))
    assert torch.allclose(plain, equal, atol=1e-14)
    (plain_grad,) = torch.autograd.grad(plain.sum(), x)
    (equal_grad,) = torch.autograd.grad(equal.sum(), x)
    assert torch.allclose(plain_grad, equal_grad, atol=1e-13)


def test_rows_select_losses() -> None:
    x, weights, rows = embeddings(), sample_weights(), torch.tensor([11, 0, 4])
    loss = AngularPrototypicalLoss()
    assert torch.equal(
        loss(x, SPEAKERS, rows, weights), loss(x, SPEAKERS, sample_weights=weights)[rows]
    )


def test_pair_weights_are_symmetric_with_mean_one() -> None:
    weights = sample_weights()
    pairs = pair_weights(weights, weights)
    assert torch.equal(pairs, pairs.t())
    assert pairs.mean().item() == pytest.approx(1, abs=1e-12)


def test_similarities_have_full_precision_under_autocast() -> None:
    x = embeddings(64).detach().float()
    expected = AngularPrototypicalLoss()(x, SPEAKERS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = AngularPrototypicalLoss()(x, SPEAKERS)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        ([0, 0, 1, 1, 1], r"got 2 speakers with 2 \(speaker 0\) to 3 \(speaker 1\) utterances"),
        ([0, 0, 1, 2, 2], r"1 \(speaker 1\)"),
        ([0, 1, 2, 3, 4], "at least 2, of utterances each"),
        ([3, 3, 3, 3, 3], "at least 2 speakers"),
        ([0, 0, 1, 1], "one integer for each of 5 embeddings"),
    ],
)
def test_batches_without_comparisons_are_refused(speakers: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AngularPrototypicalLoss()(torch.randn(5, 3), torch.tensor(speakers))


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="scale must be > 0, got 0"):
        AngularPrototypicalLoss(scale=0)
    with pytest.raises(ValueError, match=r"squeeze\(1\)"):
        AngularPrototypicalLoss()(torch.randn(5, 1, 3), torch.zeros(5, dtype=torch.long))
