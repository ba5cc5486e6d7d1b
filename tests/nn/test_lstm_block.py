from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sb_alexa.nn.lstm_block import LSTMBlock


def test_order_of_operations() -> None:
    block = LSTMBlock(
        input_size=5, hidden_size=7, projection_size=5, residual=True, layer_norm=True
    )
    x = torch.randn(2, 4, 5)
    assert block.projection is not None
    projected = F.silu(block.projection(block.lstm(x)))
    assert torch.allclose(block(x), F.layer_norm(x + projected, (5,)), atol=1e-6)


def test_the_paper_has_neither_residual_nor_norm() -> None:
    block = LSTMBlock(input_size=5, hidden_size=7, projection_size=5)
    x = torch.randn(2, 4, 5)
    assert block.projection is not None
    assert torch.equal(block(x), F.silu(block.projection(block.lstm(x))))


def test_without_projection() -> None:
    block = LSTMBlock(input_size=5, hidden_size=7, residual=True)
    assert block.output_size == 7
    assert not block.residual  # 5 inputs cannot be added to 7 outputs
    x = torch.randn(2, 4, 5)
    assert torch.equal(block(x), block.lstm(x))


def test_dropout_acts_in_training_only() -> None:
    block = LSTMBlock(input_size=5, hidden_size=64, dropout=0.5)
    x = torch.randn(2, 4, 5)
    dropped = (block(x) == 0).float().mean().item()
    assert 0.3 < dropped < 0.7
    assert not (block.eval()(x) == 0).any()


def test_a_signal_survives_six_layers() -> None:
    """With torch's own initialisation 0.0006 of it is left, and the model ignores the audio."""
    layers = [
        LSTMBlock(input_size=192 if i == 0 else 128, hidden_size=160, projection_size=128)
        for i in range(6)
    ]
    x = torch.randn(4, 30, 192)
    with torch.no_grad():
        for layer in layers:
            x = layer(x)
    assert x.std(dim=(0, 1)).mean() > 0.1


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="projection_size must be >= 1 or None"):
        LSTMBlock(input_size=5, hidden_size=7, projection_size=-1)
