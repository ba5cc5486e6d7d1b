from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.fairness.adversary import WeightAdversary, adversarial_weights

logits = st.lists(st.floats(-300, 300), min_size=1, max_size=50)


@given(logits)
def test_weights_have_mean_two_and_a_floor(values: list[float]) -> None:
    weights = adversarial_weights(torch.tensor(values, dtype=torch.float64))
    assert weights.mean().item() == pytest.approx(2, abs=1e-12)
    assert bool((weights >= 1).all())


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=20))
def test_weights_are_those_of_the_definition(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    f = torch.sigmoid(x)
    assert torch.allclose(adversarial_weights(x), 1 + f / f.mean(), rtol=1e-10)


def test_their_gradients_are_right() -> None:
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(adversarial_weights, x)


@pytest.mark.parametrize("hidden_size", [0, 8])
def test_it_starts_with_equal_weights_and_can_leave_them(hidden_size: int) -> None:
    adversary = WeightAdversary(input_size=3, hidden_size=hidden_size)
    features = torch.randn(10, 3)
    before = adversarial_weights(adversary(features))
    assert torch.allclose(before, torch.full((10,), 2.0))
    (before @ torch.randn(10)).backward()
    assert adversary.output.weight.grad is not None
    assert adversary.output.weight.grad.abs().max() > 0, "it could never learn"


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"features of shape \(N, 3\), got \(2, 4\)"):
        WeightAdversary(input_size=3)(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="hidden_size=0 is a linear adversary"):
        WeightAdversary(input_size=3, hidden_size=-1)
