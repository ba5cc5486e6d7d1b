from __future__ import annotations

import pytest
import torch

from sb_alexa.bench.loss_cases import LossSize, logits_tensors, random_tensors
from sb_alexa.bench.loss_run import step
from sb_alexa.bench.loss_trained import share_of_cells_kept, trained_tensors
from sb_alexa.bench.loss_variants import exact, with_floor
from sb_alexa.losses.transducer import transducer_lattice_loss

SIZE = LossSize(8, 20, 10, 7, joint_size=6)


def test_lengths_are_spread_and_the_longest_is_full() -> None:
    tensors = random_tensors(SIZE)
    assert tensors.num_frames.sort().values.tolist() == [10, 11, 13, 14, 16, 17, 19, 20]
    assert tensors.num_labels.sort().values.tolist() == [5, 6, 6, 7, 8, 9, 9, 10]
    assert tensors.num_cells == sum(
        t * (u + 1)
        for t, u in zip(tensors.num_frames.tolist(), tensors.num_labels.tolist(), strict=True)
    )


def test_size_is_read_from_the_tensors() -> None:
    tensors = random_tensors(SIZE)
    assert tensors.size == SIZE
    assert logits_tensors(tensors).size.num_logits == SIZE.num_logits == 8 * 20 * 11 * 7


def test_no_padding() -> None:
    tensors = random_tensors(SIZE, min_length_share=1.0)
    assert tensors.num_cells == SIZE.num_padded_cells


def test_seed_decides() -> None:
    torch.manual_seed(5)
    first = random_tensors(SIZE, seed=3)
    torch.manual_seed(6)
    again, other = random_tensors(SIZE, seed=3), random_tensors(SIZE, seed=4)
    for left, right in zip(first.leaves, again.leaves, strict=True):
        assert torch.equal(left, right)
    assert torch.equal(first.num_frames, again.num_frames)
    assert not torch.equal(first.encoder_out, other.encoder_out)


def test_logits_give_the_same_loss() -> None:
    tensors = random_tensors(SIZE)
    torch.testing.assert_close(step(exact, tensors), step(exact, logits_tensors(tensors)))


def test_double_leaves_the_original_alone() -> None:
    tensors = random_tensors(SIZE)
    doubled = tensors.double()
    step(exact, doubled)
    assert all(leaf.dtype == torch.float64 and leaf.grad is not None for leaf in doubled.leaves)
    assert all(leaf.dtype == torch.float32 and leaf.grad is None for leaf in tensors.leaves)


def test_gradients_are_taken_once() -> None:
    tensors = random_tensors(SIZE)
    step(exact, tensors)
    assert all(gradient.abs().sum() > 0 for gradient in tensors.take_gradients())
    assert all(leaf.grad is None for leaf in tensors.leaves)


def test_trained_tensors_keep_few_cells() -> None:
    """What the trained model is there for."""
    size = LossSize(2, 60, 12, 12, joint_size=64)
    trained = trained_tensors(size)
    random = random_tensors(size)
    assert trained.size == size
    assert all(leaf.requires_grad for leaf in trained.leaves)
    assert share_of_cells_kept(trained, 1e-6) < 0.5 * share_of_cells_kept(random, 1e-6)


def test_share_kept_is_that_of_the_loss() -> None:
    """Cells that are counted as dropped have no gradient, and all others have one."""
    tensors = random_tensors(SIZE)
    floor = 1e-3
    log_probs = tensors.logits().log_softmax(-1).detach()
    index = tensors.targets[:, None, :, None].expand(-1, SIZE.num_frames, -1, -1)
    label_logp = log_probs[:, :, :-1].gather(-1, index)[..., 0].requires_grad_()
    blank_logp = log_probs[..., 0].clone().requires_grad_()
    loss = transducer_lattice_loss(
        blank_logp, label_logp, tensors.num_frames, tensors.num_labels, occupancy_floor=floor
    )
    of_blank, of_label = torch.autograd.grad(loss.sum(), [blank_logp, label_logp])
    occupancy = of_blank.abs()
    occupancy[:, :, :-1] += of_label.abs()
    kept = int((occupancy > 0).sum()) / tensors.num_cells
    assert 0 < kept < 1
    assert share_of_cells_kept(tensors, floor) == pytest.approx(kept)


def test_floor_of_the_variant_changes_little() -> None:
    tensors = random_tensors(SIZE)
    step(exact, tensors)
    gradients = tensors.take_gradients()
    step(with_floor, tensors)
    torch.testing.assert_close(tensors.take_gradients(), gradients, atol=1e-5, rtol=1e-4)
