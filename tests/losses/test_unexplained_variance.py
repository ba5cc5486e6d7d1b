from __future__ import annotations

import math

import pytest
import torch

from sb_alexa.losses.unexplained_variance import unexplained_variance


def test_equals_the_definition_frame_by_frame() -> None:
    torch.manual_seed(0)
    y, target = torch.randn(3, 5, 4).double(), torch.randn(3, 5, 4).double()
    num_frames = torch.tensor([5, 2, 0])
    frames = [(i, t) for i, count in enumerate(num_frames.tolist()) for t in range(count)]
    mean = torch.stack([target[i, t] for i, t in frames]).mean(0)
    distance = sum(float((y[i, t] - target[i, t]).square().sum()) for i, t in frames)
    variance = sum(float((target[i, t] - mean).square().sum()) for i, t in frames)
    value = unexplained_variance(y, target, num_frames)
    assert value.dtype == torch.float64 and float(value) == pytest.approx(distance / variance)


def test_the_mean_explains_nothing_and_scale_does_not_matter() -> None:
    torch.manual_seed(0)
    target, num_frames = torch.randn(1, 50, 3), torch.tensor([50])
    mean = target.mean(dim=1, keepdim=True).expand_as(target)
    assert float(unexplained_variance(mean, target, num_frames)) == pytest.approx(1.0, abs=1e-5)
    y = torch.randn(1, 50, 3)
    small = unexplained_variance(1e-3 * y, 1e-3 * target, num_frames)
    torch.testing.assert_close(small, unexplained_variance(y, target, num_frames))


def test_padding_and_the_target_get_no_gradient() -> None:
    y = torch.randn(2, 4, 3, requires_grad=True)
    target = torch.randn(2, 4, 3, requires_grad=True)
    with torch.no_grad():
        y[1, 2:], target[1, 2:] = math.nan, math.inf
    unexplained_variance(y, target, torch.tensor([4, 2])).backward()
    assert target.grad is None and y.grad is not None
    assert bool((y.grad[1, 2:] == 0).all()) and bool((y.grad[0] != 0).all())


def test_nothing_to_explain() -> None:
    y, constant = torch.ones(1, 3, 2, requires_grad=True), torch.zeros(1, 3, 2)
    value = unexplained_variance(y, constant, torch.tensor([3]))
    assert value.item() == 0
    value.backward()
    assert bool((y.grad == 0).all())
    assert unexplained_variance(y, constant, torch.tensor([0])).item() == 0


def test_half_precision_is_summed_in_float32() -> None:
    y, target = torch.randn(1, 400, 8).bfloat16(), torch.randn(1, 400, 8).bfloat16()
    value = unexplained_variance(y, target, torch.tensor([400]))
    assert value.dtype == torch.float32
    torch.testing.assert_close(
        value, unexplained_variance(y.float(), target.float(), torch.tensor([400]))
    )


@pytest.mark.parametrize(
    ("shape", "count"), [((2, 4, 2), 2), ((2, 4, 3), 1)], ids=["features", "utterances"]
)
def test_shapes_that_differ(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(ValueError, match="must be \\(B, T, C\\) and num_frames"):
        unexplained_variance(torch.zeros(2, 4, 3), torch.zeros(shape), torch.ones(count).long())
