from __future__ import annotations

import pytest
import torch

from sb_alexa.nn.lstm import STEPWISE_FRAMES, StreamingLSTM


@pytest.mark.parametrize("batch", [1, 3])
def test_the_loop_over_frames_equals_torch(batch: int) -> None:
    lstm = StreamingLSTM(input_size=5, hidden_size=7).double()
    for parameter in lstm.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(batch, STEPWISE_FRAMES, 5, dtype=torch.float64)
    expected, (hidden, cell) = lstm.lstm(x)
    with torch.no_grad():
        y, state = lstm.forward_chunk(x, lstm.initial_state(batch))
    assert torch.allclose(y, expected, atol=1e-12)
    assert torch.allclose(state.hidden, hidden[0], atol=1e-12)
    assert torch.allclose(state.cell, cell[0], atol=1e-12)


def test_long_chunks_without_gradients_equal_short_ones() -> None:
    lstm = StreamingLSTM(input_size=5, hidden_size=7).double()
    x = torch.randn(2, 3 * STEPWISE_FRAMES, 5, dtype=torch.float64)
    with torch.no_grad():
        whole = lstm(x)
        first, state = lstm.forward_chunk(x[:, :STEPWISE_FRAMES], lstm.initial_state(2))
        second, _ = lstm.forward_chunk(x[:, STEPWISE_FRAMES:], state)
    assert torch.allclose(torch.cat([first, second], dim=1), whole, atol=1e-12)


def test_forget_gates_start_open() -> None:
    lstm = StreamingLSTM(input_size=3, hidden_size=4, forget_gate_bias=1.5)
    parameters = dict(lstm.lstm.named_parameters())
    biases = parameters["bias_ih_l0"] + parameters["bias_hh_l0"]
    assert biases.tolist() == [0.0] * 4 + [1.5] * 4 + [0.0] * 8


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="hidden_size must be >= 1, got 3 and 0"):
        StreamingLSTM(input_size=3, hidden_size=0)
