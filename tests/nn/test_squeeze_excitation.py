from __future__ import annotations

import pytest
import torch

from sb_alexa.nn.squeeze_excitation import CausalSqueezeExcitation


def test_equals_the_formula() -> None:
    module = CausalSqueezeExcitation(num_channels=6, reduction_ratio=2).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    y = module(x)
    for t in range(5):
        mean = x[:, : t + 1].mean(dim=1)
        gate = torch.sigmoid(module.excite(torch.relu(module.squeeze(mean))))
        assert torch.allclose(y[:, t], x[:, t] * gate, atol=1e-12)


def test_the_mean_of_a_long_stream_keeps_its_precision() -> None:
    """100,000 frames of 0.1: the float32 sum of them would be off by 0.01 %."""
    module = CausalSqueezeExcitation(num_channels=1, reduction_ratio=1)
    state = module.initial_state(1)
    for _ in range(100):
        _, state = module.forward_chunk(torch.full((1, 1000, 1), 0.1), state)
    assert int(state.num_frames) == 100_000
    assert float(state.total) / 100_000 == pytest.approx(float(torch.tensor(0.1)), rel=1e-12)


def test_the_sum_stays_float64_in_a_half_precision_model() -> None:
    module = CausalSqueezeExcitation(num_channels=4, reduction_ratio=2).bfloat16()
    y, state = module.forward_chunk(torch.ones(1, 3, 4).bfloat16(), module.initial_state(1))
    assert y.dtype == torch.bfloat16 and state.total.dtype == torch.float64


def test_reduction_ratio_is_checked() -> None:
    with pytest.raises(ValueError, match="between 1 and num_channels=4, got 8"):
        CausalSqueezeExcitation(num_channels=4, reduction_ratio=8)
