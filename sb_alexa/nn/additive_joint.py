"""The joint network of a transducer whose two sides are added."""

from __future__ import annotations

from torch import Tensor, nn


class AdditiveJoint(nn.Module):
    """``output(activation(encoder_part + predictor_part))``.

    Arguments
    ---------
    activation : Module
        Element by element.
    output : Linear
        (..., J) to (..., V).

    Shape
    -----
    encoder_part : (..., J)
    predictor_part : (..., J), broadcast against the encoder's
    output : (..., V) logits

    Example
    -------
    >>> import torch
    >>> joint = AdditiveJoint(nn.Tanh(), nn.Linear(4, 5))
    >>> joint(torch.zeros(2, 7, 1, 4), torch.zeros(2, 1, 3, 4)).shape
    torch.Size([2, 7, 3, 5])
    """

    def __init__(self, activation: nn.Module, output: nn.Linear) -> None:
        super().__init__()
        self.activation = activation
        self.output = output

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        return self.output(self.activation(encoder_part + predictor_part))
