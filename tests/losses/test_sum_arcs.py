"""The first pass of the pruned loss against the logits of all cells."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sb_alexa.losses.sum_arcs import sum_arc_log_probs
from sb_alexa.losses.transducer import transducer_lattice_loss

VOCABULARY = 9


def explicit_arcs(frames: Tensor, histories: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    log_probs = (frames[:, :, None].double() + histories[:, None].double()).log_softmax(-1)
    index = targets[:, None, :, None].expand(-1, frames.shape[1], -1, 1)
    return log_probs[..., 0], log_probs[:, :, :-1].gather(-1, index)[..., 0]


@pytest.mark.parametrize("scale", [1.0, 30.0, 600.0, 2000.0])
def test_normaliser_by_matrix_product_equals_the_explicit_one(scale: float) -> None:
    """At 600 the products of the exponentials underflow in some cells, at 2000 in most."""
    frames = (scale * torch.randn(2, 6, VOCABULARY, dtype=torch.float64)).requires_grad_()
    histories = (scale * torch.randn(2, 5, VOCABULARY, dtype=torch.float64)).requires_grad_()
    targets = torch.randint(1, VOCABULARY, (2, 4))
    lengths = {"num_frames": [6, 6], "num_labels": [4, 4]}
    actual = sum_arc_log_probs(frames, histories, targets, **lengths, blank_index=0)
    expected = explicit_arcs(frames, histories, targets)
    weights = [torch.rand_like(arcs) for arcs in expected]
    for ours, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-13, atol=1e-13 * scale)
    sums = [
        sum((arcs * w).sum() for arcs, w in zip(both, weights, strict=True))
        for both in (actual, expected)
    ]
    gradients = [torch.autograd.grad(total, (frames, histories)) for total in sums]
    for ours, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-12 * scale)


def test_normaliser_of_float32_logits() -> None:
    frames, histories = 5 * torch.randn(1, 30, 1000), 5 * torch.randn(1, 9, 1000)
    targets = torch.randint(1, 1000, (1, 8))
    lengths = {"num_frames": [30], "num_labels": [8]}
    actual = sum_arc_log_probs(frames, histories, targets, **lengths, blank_index=0)
    for ours, wanted in zip(actual, explicit_arcs(frames, histories, targets), strict=True):
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("blank_index", [0, 3])
def test_gradcheck_of_the_first_pass(blank_index: int) -> None:
    frames = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    far_apart = torch.tensor([0.0, 700.0, 0.0, 0.0], dtype=torch.float64)
    histories = (torch.randn(2, 3, 4, dtype=torch.float64) + far_apart).requires_grad_()
    shifted = frames.detach() + far_apart.roll(1)  # the matrix product underflows
    targets = torch.tensor([[2, 1], [1, -100]])

    def arcs(frames: Tensor, histories: Tensor) -> tuple[Tensor, Tensor]:
        return sum_arc_log_probs(
            frames,
            histories,
            targets,
            num_frames=[3, 2],
            num_labels=[2, 1],
            blank_index=blank_index,
        )

    assert torch.autograd.gradcheck(arcs, (frames, histories))
    assert torch.autograd.gradcheck(arcs, (shifted.requires_grad_(), histories))


def test_first_pass_with_forbidden_outputs() -> None:
    frames = torch.randn(1, 3, 4, dtype=torch.float64)
    frames[0, 1] = -torch.inf  # nothing can happen in this frame
    frames[0, 2, 0] = -torch.inf
    histories = torch.randn(1, 2, 4, dtype=torch.float64)
    histories[0, 1, 2] = -torch.inf
    targets = torch.tensor([[2]])
    frames, histories = frames.requires_grad_(), histories.requires_grad_()
    lengths = {"num_frames": [3], "num_labels": [1]}
    blank, label = sum_arc_log_probs(frames, histories, targets, **lengths, blank_index=0)
    expected = explicit_arcs(frames[:, ::2], histories, targets)
    assert (blank[0, 1] == -torch.inf).all() and (label[0, 1] == -torch.inf).all()
    torch.testing.assert_close(blank[:, ::2], expected[0], rtol=1e-13, atol=0)
    torch.testing.assert_close(label[:, ::2], expected[1], rtol=1e-13, atol=0)
    loss = transducer_lattice_loss(blank, label, torch.tensor([3]), torch.tensor([1]))
    assert loss.item() == math.inf
    assert all(not g.any() for g in torch.autograd.grad(loss.sum(), (frames, histories)))


def test_padding_has_no_influence() -> None:
    num_frames, num_labels = torch.tensor([12, 1, 5, 2]), torch.tensor([7, 3, 0, 6])
    frames, histories = torch.randn(4, 12, VOCABULARY), torch.randn(4, 8, VOCABULARY)
    targets = torch.randint(1, VOCABULARY, (4, 7))
    plan = {"num_frames": num_frames.tolist(), "num_labels": num_labels.tolist()}

    def loss() -> Tensor:
        arcs = sum_arc_log_probs(frames, histories, targets, **plan, blank_index=0)
        return transducer_lattice_loss(*arcs, num_frames, num_labels)

    before = loss()
    for item, (t, u) in enumerate(zip(num_frames, num_labels, strict=True)):
        frames[item, t:], histories[item, u + 1 :] = torch.nan, torch.nan
        targets[item, u:] = -100
    assert torch.equal(loss(), before)
