"""CTC with skips against torch's loss of single utterances."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import ctc_loss

from sb_alexa.losses.ctc import ctc_loss_with_skips


def test_possible_rows_equal_torch_and_impossible_ones_are_dropped() -> None:
    logits = torch.randn(5, 6, 7, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 2, 3, -1], [4, 4, 4, 0], [4, 4, 4, 4], [9, 9, 9, 9], [1, 2, 3, 4]])
    num_frames, num_labels = torch.tensor([6, 5, 6, 2, 3]), torch.tensor([3, 3, 4, 0, 4])
    loss, is_possible = ctc_loss_with_skips(logits.log_softmax(-1), targets, num_frames, num_labels)
    # "4 4 4 4" needs 7 frames for its repeats, "1 2 3 4" needs 4.
    assert is_possible.tolist() == [True, True, False, True, False]
    for item in (0, 1, 3):
        frames, labels = num_frames[item], num_labels[item]
        alone = ctc_loss(
            logits[item, :frames].log_softmax(-1),
            targets[item, :labels],
            frames,
            labels,
            reduction="none",
        )
        assert loss[item].item() == pytest.approx(alone.item(), abs=1e-12)
    assert loss[[2, 4]].tolist() == [0, 0]
    loss.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert [bool(row.any()) for row in logits.grad] == is_possible.tolist()


@pytest.mark.parametrize("frames", [0, 2])
def test_batch_of_impossible_rows_stays_in_the_graph(frames: int) -> None:
    logits = torch.randn(2, frames, 5, requires_grad=True)
    loss, is_possible = ctc_loss_with_skips(
        logits.log_softmax(-1),
        torch.tensor([[1, 2, 3], [2, 2, 0]]),
        torch.tensor([frames, frames]),
        torch.tensor([3, 2]),
    )
    assert loss.tolist() == [0, 0] and not is_possible.any()
    loss.sum().backward()
    assert logits.grad is not None and not logits.grad.any()


def test_dropped_rows_cannot_spoil_the_others() -> None:
    logits = torch.randn(2, 2, 5)
    logits[1] = torch.inf  # NaN after the softmax
    logits.requires_grad_()
    loss, is_possible = ctc_loss_with_skips(
        logits.log_softmax(-1),
        torch.tensor([[1, 0, 0], [1, 2, 3]]),
        torch.tensor([2, 2]),
        torch.tensor([1, 3]),
    )
    assert loss.isfinite().all() and is_possible.tolist() == [True, False]


def test_nan_in_a_possible_row_shows() -> None:
    log_probs = torch.full((1, 2, 3), torch.nan)
    loss, is_possible = ctc_loss_with_skips(
        log_probs, torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1])
    )
    assert loss.isnan().all() and is_possible.all()


def test_other_blank_and_half_precision() -> None:
    log_probs = torch.randn(1, 4, 5).log_softmax(-1)
    lengths = torch.tensor([4]), torch.tensor([2])
    first, _ = ctc_loss_with_skips(log_probs.bfloat16(), torch.tensor([[1, 2]]), *lengths)
    moved = log_probs.bfloat16().roll(-1, dims=-1)
    last, _ = ctc_loss_with_skips(moved, torch.tensor([[0, 1]]), *lengths, blank_index=4)
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, last)


@pytest.mark.parametrize(
    "num_frames,num_labels,targets,message",
    [
        ([5], [1], [[1, 1]], "num_frames of item 0 is 5, expected 0..4"),
        ([4], [3], [[1, 1]], "num_labels of item 0 is 3, expected 0..2"),
        ([4], [2], [[1, 7]], "target 1 of item 0 is 7, expected a label in 0..4"),
        ([4], [2], [[1, 0]], "target 1 of item 0 is 0, expected a label"),
        ([4], [1], [[1], [1]], r"targets must have shape \(1, U\), got \(2, 1\)"),
    ],
)
def test_wrong_input_is_named(
    num_frames: list, num_labels: list, targets: list, message: str
) -> None:
    log_probs = torch.randn(1, 4, 5).log_softmax(-1)
    lengths = torch.tensor(num_frames), torch.tensor(num_labels)
    with pytest.raises(ValueError, match=message):
        ctc_loss_with_skips(log_probs, torch.tensor(targets), *lengths)
