"""The joiner's sizes, broadcasting and arguments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sb_alexa.transducer.joiner import Joiner


def test_without_projections_it_is_linear_of_tanh_of_the_sum() -> None:
    joiner = Joiner(encoder_size=512, predictor_size=512, num_labels=2501)
    assert sum(p.numel() for p in joiner.parameters()) / 1e6 == pytest.approx(1.28, rel=0.01)
    frames, histories = torch.randn(2, 3, 1, 512), torch.randn(2, 1, 4, 512)
    assert joiner.project_encoder(frames) is frames
    assert joiner.project_predictor(histories) is histories
    expected = (frames + histories).tanh() @ joiner.output.weight.T + joiner.output.bias
    torch.testing.assert_close(joiner(frames, histories), expected)


def test_with_projections_the_sides_may_differ() -> None:
    joiner = Joiner(
        encoder_size=5, predictor_size=3, num_labels=7, joint_size=4, activation=nn.ReLU
    )
    frames, histories = torch.randn(2, 3, 1, 5), torch.randn(2, 1, 4, 3)
    logits = joiner(joiner.project_encoder(frames), joiner.project_predictor(histories))
    assert logits.shape == (2, 3, 4, 7)
    one = joiner(joiner.project_encoder(frames[1, 2]), joiner.project_predictor(histories[1, :, 3]))
    torch.testing.assert_close(one[0], logits[1, 2, 3])
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in joiner.parameters())


@pytest.mark.parametrize(
    "sizes,message",
    [
        ((4, 5, 7, None), "encoder_size 4 and predictor_size 5 differ .* give a joint_size"),
        ((0, 5, 7, 3), "encoder_size=0"),
        ((4, 4, 1, None), "num_labels=1"),
        ((4, 4, 7, 0), "joint_size=0"),
        ((4, 4, 7, -2), "joint_size=-2"),
    ],
)
def test_wrong_sizes_are_named(sizes: tuple, message: str) -> None:
    names = ("encoder_size", "predictor_size", "num_labels", "joint_size")
    with pytest.raises(ValueError, match=message):
        Joiner(**dict(zip(names, sizes, strict=True)))
