"""The masking loss against loops, and what it must not touch."""

from __future__ import annotations

import pytest
import torch

from sb_alexa.losses.speech_activity import masking_loss

LENGTHS = torch.tensor([7, 4])


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 7, 2, 3, dtype=torch.float64), torch.rand(2, 2, 7) < 0.5


def test_it_is_the_mean_square_of_the_silent_frames() -> None:
    out, active = problem()
    expected = 0.0
    for channel in range(2):
        squares = [
            out[row, frame, channel].square().mean().item()
            for row in range(2)
            for frame in range(int(LENGTHS[row]))
            if not active[row, channel, frame]
        ]
        expected += sum(squares) / len(squares)
    assert masking_loss(out, active, LENGTHS).item() == pytest.approx(expected, rel=1e-12)


def test_active_frames_and_padding_get_no_gradient() -> None:
    out, active = problem()
    out.requires_grad_()
    masking_loss(out, active, LENGTHS).backward()
    valid = torch.arange(7) < LENGTHS[:, None]
    silent = (~active & valid[:, None]).transpose(1, 2)
    assert out.grad is not None
    assert torch.equal(out.grad.abs().sum(-1) > 0, silent)


def test_what_is_in_the_padding_has_no_influence() -> None:
    out, active = problem()
    expected = masking_loss(out, active, LENGTHS)
    out[1, 4:] = float("nan")
    out.requires_grad_()
    loss = masking_loss(out, active, LENGTHS)
    loss.backward()
    assert loss.item() == expected.item()
    assert out.grad is not None and bool(out.grad.isfinite().all())


def test_nothing_silent_costs_nothing() -> None:
    out, active = problem()
    out.requires_grad_()
    loss = masking_loss(out, torch.ones_like(active), LENGTHS)
    loss.backward()
    assert loss.item() == 0
    assert out.grad is not None and not out.grad.any()


def test_half_precision_is_summed_in_float32() -> None:
    out, active = problem()
    loss = masking_loss((300 * out).half(), active, LENGTHS)
    assert loss.dtype == torch.float32 and bool(loss.isfinite())


def test_a_mask_of_another_shape_is_refused() -> None:
    out, active = problem()
    with pytest.raises(ValueError, match=r"\(2, 2, 7\).*got \(2, 7, 2\)"):
        masking_loss(out, active.transpose(1, 2), LENGTHS)
