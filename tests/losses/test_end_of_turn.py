"""The penalty on late ends of turns, alone and in the lattice beside FastEmit."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from sb_alexa.losses.end_of_turn import end_of_turn_penalty
from sb_alexa.losses.transducer import transducer_lattice_loss

NAN = float("nan")
FRAMES, LABELS = 5, 3


def penalty(ends: list[float], num_frames: int = FRAMES, **options: float) -> torch.Tensor:
    turn_end_s = torch.tensor([ends], dtype=torch.float64)
    return end_of_turn_penalty(turn_end_s, num_frames, seconds_per_frame=0.03, **options)


def test_only_labels_that_end_a_turn_are_penalised() -> None:
    lost = penalty([NAN, 0.03, NAN], buffer_frames=1.0)
    assert lost.shape == (1, FRAMES, LABELS)
    assert not lost[..., [0, 2]].any()
    assert lost[0, :, 1].tolist() == pytest.approx([0, 0, 0, -1, -2])


def test_the_early_term_falls_until_the_turn_ends() -> None:
    lost = penalty([0.06], early_slope=0.5, buffer_frames=0.0, late_slope=2.0)
    assert lost[0, :, 0].tolist() == pytest.approx([-1, -0.5, 0, -2, -4])


def test_the_penalty_is_bounded() -> None:
    lost = penalty([0.0], num_frames=1000, largest=7.5)
    assert lost.min().item() == -7.5


@pytest.mark.parametrize(
    "options",
    [{"buffer_frames": -1.0}, {"late_slope": -0.1}, {"early_slope": -2.0}, {"largest": 0.0}],
)
def test_impossible_numbers_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be >= 0 and largest > 0"):
        penalty([0.0], **options)


def alignments() -> list[tuple[int, ...]]:
    """Frames at which each of the labels is emitted, in order."""
    return list(itertools.combinations_with_replacement(range(FRAMES), LABELS))


def log_prob(emitted: tuple[int, ...], blank: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Of one alignment: every arc on its way through the lattice."""
    total, done = torch.zeros((), dtype=torch.float64), 0
    for frame in range(FRAMES):
        while done < LABELS and emitted[done] == frame:
            total = total + label[frame, done]
            done += 1
        total = total + blank[frame, done]
    return total


@pytest.mark.parametrize("fastemit_lambda", [0.0, 0.005, 0.5])
@pytest.mark.parametrize("late_slope", [0.0, 1.0, 40.0])
def test_penalty_and_fastemit_against_all_alignments(
    fastemit_lambda: float, late_slope: float
) -> None:
    torch.manual_seed(0)
    blank = torch.randn(FRAMES, LABELS + 1, dtype=torch.float64).sigmoid().log().requires_grad_()
    label = torch.randn(FRAMES, LABELS, dtype=torch.float64).sigmoid().log().requires_grad_()
    lost = penalty([NAN, 0.03, 0.06], buffer_frames=0.0, late_slope=late_slope, early_slope=0.3)[0]
    each = torch.stack([log_prob(one, blank, label + lost) for one in alignments()])
    expected = -each.logsumexp(0)
    of_blank, of_label = torch.autograd.grad(expected, [blank, label])
    loss = transducer_lattice_loss(
        blank[None],
        label[None],
        torch.tensor([FRAMES]),
        torch.tensor([LABELS]),
        fastemit_lambda=fastemit_lambda,
        label_penalty=lost[None],
    )
    torch.testing.assert_close(loss[0], expected, rtol=1e-12, atol=0)
    loss.sum().backward()
    torch.testing.assert_close(blank.grad, of_blank, rtol=1e-10, atol=1e-14)
    scaled = (1 + fastemit_lambda) * of_label
    torch.testing.assert_close(label.grad, scaled, rtol=1e-10, atol=1e-14)


def test_together_they_stay_finite_where_an_end_is_seconds_late() -> None:
    """A model that has not learned ``<eot>`` puts all of it into the last frame of a minute."""
    frames = 2000
    label = torch.full((1, frames, 1), -40.0)
    label[0, -1] = -1e-3
    blank = torch.full((1, frames, 2), -1e-3)
    label.requires_grad_()
    blank.requires_grad_()
    lost = end_of_turn_penalty(torch.tensor([[0.3]]), frames, seconds_per_frame=0.03)
    loss = transducer_lattice_loss(
        blank,
        label,
        torch.tensor([frames]),
        torch.tensor([1]),
        fastemit_lambda=0.005,
        label_penalty=lost,
    )
    loss.sum().backward()
    assert math.isfinite(loss.item())
    assert label.grad is not None and blank.grad is not None
    assert bool(label.grad.isfinite().all()) and bool(blank.grad.isfinite().all())
    assert label.grad.sum().item() == pytest.approx(-1.005)
