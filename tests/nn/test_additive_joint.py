"""The joint network of two added sides."""

from __future__ import annotations

import torch
from torch import nn

from sb_alexa.nn.additive_joint import AdditiveJoint


def test_output_of_the_activation_of_the_sum() -> None:
    joint = AdditiveJoint(nn.Tanh(), nn.Linear(4, 6)).double()
    encoder = torch.randn(2, 5, 1, 4, dtype=torch.float64)
    predictor = torch.randn(2, 1, 3, 4, dtype=torch.float64)
    logits = joint(encoder, predictor)
    assert logits.shape == (2, 5, 3, 6)
    cell = torch.tanh(encoder[1, 4, 0] + predictor[1, 0, 2])
    expected = joint.output.weight @ cell + joint.output.bias
    torch.testing.assert_close(logits[1, 4, 2], expected, rtol=1e-14, atol=1e-14)


def test_one_frame_and_one_history() -> None:
    joint = AdditiveJoint(nn.ReLU(), nn.Linear(4, 6, bias=False))
    encoder, predictor = torch.randn(4), torch.randn(4)
    expected = joint.output.weight @ (encoder + predictor).relu()
    torch.testing.assert_close(joint(encoder, predictor), expected)


def test_names_of_the_parameters_are_those_of_checkpoints() -> None:
    joint = AdditiveJoint(nn.Tanh(), nn.Linear(4, 6))
    assert sorted(joint.state_dict()) == ["output.bias", "output.weight"]


def test_gradients_reach_both_sides() -> None:
    joint = AdditiveJoint(nn.GELU(), nn.Linear(3, 4)).double()
    sides = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(joint, sides)
