from __future__ import annotations

import pytest
import torch

from sb_alexa.encoders.rnn import LSTMEncoder


def test_the_baseline_has_seven_layers() -> None:
    with torch.device("meta"):
        encoder = LSTMEncoder()
    count = sum(parameter.numel() for parameter in encoder.parameters())
    first = 4 * 640 * (192 + 640) + 8 * 640 + 641 * 512
    other = 4 * 640 * (512 + 640) + 8 * 640 + 641 * 512
    assert count == first + 6 * other
    assert encoder.output_size == 512 and encoder.input_features == (192,)


def test_without_layers() -> None:
    with pytest.raises(ValueError, match="num_layers must be >= 1, got 0"):
        LSTMEncoder(num_layers=0)
