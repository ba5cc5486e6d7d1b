from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.nn.causal_conv2d import CausalConv2d
from sb_alexa.nn.winograd import FrequencyWinograd


def _direct(weight: Tensor, x: Tensor) -> Tensor:
    padding = (0, weight.shape[3] // 2)
    return F.conv2d(x.permute(0, 3, 1, 2), weight, padding=padding).permute(0, 2, 3, 1)


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("bins", [1, 4, 7, 24])
@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (3, 2), (12, 1), (2, 23)])
def test_equals_the_direct_convolution(kernel_size: int, bins: int, batch: int, steps: int) -> None:
    weight = torch.randn(4, 6, kernel_size, kernel_size, dtype=torch.float64)
    x = torch.randn(batch, kernel_size - 1 + steps, bins, 6, dtype=torch.float64)
    fast = FrequencyWinograd(weight)(x)
    assert fast.shape == (batch, steps, bins, 4)
    assert torch.allclose(fast, _direct(weight, x), atol=1e-11)


def test_rounds_no_more_than_the_direct_convolution() -> None:
    weight = torch.randn(64, 100, 5, 5) / 50
    x = torch.randn(2, 9, 48, 100)
    exact = _direct(weight.double(), x.double())
    fast_error = (FrequencyWinograd(weight)(x) - exact).abs().max()
    slow_error = (_direct(weight, x) - exact).abs().max()
    assert fast_error < 2 * slow_error
    assert fast_error < 1e-5 * exact.abs().max()


def _conv() -> CausalConv2d:
    return CausalConv2d(num_bins=9, in_channels=16, out_channels=3, kernel_size=5).double()


def test_frames_do_not_depend_on_the_chunk_they_come_in() -> None:
    conv = _conv().float()
    x = torch.randn(1, 40, 9, 16)
    with torch.no_grad():
        whole = conv(x)
        state, outputs = conv.initial_state(1), []
        for chunk in x.split([1, 5, 9, 25], dim=1):
            y, state = conv.forward_chunk(chunk, state)
            outputs.append(y)
    assert (torch.cat(outputs, dim=1) - whole).abs().max() < 2e-6


def test_streaming_without_gradients_equals_training() -> None:
    conv = _conv()
    x = torch.randn(2, 7, 9, 16, dtype=torch.float64)
    with torch.no_grad():
        fast = conv(x)
    assert conv._winograd is not None
    assert torch.allclose(fast, conv(x), atol=1e-11)


@pytest.mark.parametrize("way", ["data", "in place", "load", "deepcopy"])
def test_new_weights_are_noticed(way: str) -> None:
    conv, other = _conv(), _conv()
    x = torch.randn(1, 7, 9, 16, dtype=torch.float64)
    with torch.no_grad():
        conv(x)
        if way == "data":
            conv.conv.weight.data.mul_(2)
        elif way == "in place":
            conv.conv.weight.add_(1)
        elif way == "load":
            conv.load_state_dict(other.state_dict())
        else:
            conv = copy.deepcopy(conv)
            conv.conv.weight.zero_()
        fast = conv(x)
    assert torch.allclose(fast, conv(x), atol=1e-11)


def test_nothing_is_added_to_checkpoints() -> None:
    conv = _conv()
    with torch.no_grad():
        conv(torch.randn(1, 7, 9, 16, dtype=torch.float64))
    assert sorted(conv.state_dict()) == ["conv.bias", "conv.weight"]


def test_kernel_size_is_checked() -> None:
    with pytest.raises(ValueError, match=r"3 x 3 or 5 x 5, got \(7, 7\)"):
        FrequencyWinograd(torch.zeros(1, 1, 7, 7))
