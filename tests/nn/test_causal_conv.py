from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sb_alexa.nn.causal_conv import CausalConv1d
from sb_alexa.nn.causal_conv2d import CausalConv2d


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_1d_is_left_padded(groups: int) -> None:
    conv = CausalConv1d(
        in_channels=8, out_channels=4, kernel_size=3, dilation=2, groups=groups
    ).double()
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    padded = F.pad(x.transpose(1, 2), (4, 0))
    expected = conv.conv(padded).transpose(1, 2)
    assert torch.allclose(conv(x), expected, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(conv(x), expected, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_2d_is_left_padded_in_time_and_centred_in_frequency(stride: int) -> None:
    conv = CausalConv2d(
        num_bins=10, in_channels=2, out_channels=3, kernel_size=5, frequency_stride=stride
    ).double()
    x = torch.randn(2, 7, 10, 2, dtype=torch.float64)
    padded = F.pad(x.permute(0, 3, 1, 2), (2, 2, 4, 0))
    weight, bias = conv.conv.weight, conv.conv.bias
    expected = F.conv2d(padded, weight, bias, stride=(1, stride)).permute(0, 2, 3, 1)
    assert torch.allclose(conv(x), expected, atol=1e-12)
    assert expected.shape[2] == conv.output_bins
    with torch.no_grad():
        assert torch.allclose(conv(x), expected, atol=1e-12)


def test_the_state_does_not_keep_the_chunk_alive() -> None:
    conv = CausalConv1d(in_channels=2, out_channels=2, kernel_size=3)
    _, state = conv.forward_chunk(torch.randn(1, 1000, 2), conv.initial_state(1))
    assert state.past.untyped_storage().nbytes() == 2 * 2 * 4


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="groups must divide the channels, got 3 for 8 -> 4"):
        CausalConv1d(in_channels=8, out_channels=4, kernel_size=3, groups=3)
    with pytest.raises(ValueError, match="dilation must be >= 1, got 3 and 0"):
        CausalConv1d(in_channels=8, out_channels=4, kernel_size=3, dilation=0)
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        CausalConv2d(num_bins=8, in_channels=1, out_channels=1, kernel_size=4)
