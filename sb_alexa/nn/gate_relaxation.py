"""Gumbel-sigmoid relaxation: gates that are nearly 0 or 1 and still have a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GateRelaxation:
    """How soft and how random the gates of training are.

    ``s = sigmoid((logit p + noise_scale (g1 - g2)) / temperature)`` with Gumbel noise g1, g2. At
    temperature 1 without noise s is the keep probability p itself; towards temperature 0 with noise
    1 it becomes a sample of 0 or 1, on with probability p.

    Arguments
    ---------
    temperature : float
        tau, > 0.
    noise_scale : float
        kappa, >= 0.

    Raises
    ------
    ValueError
        If a number is out of range.

    Reference
    ---------
    Xie et al., Interspeech 2022, arXiv 2207.02393, after Jang et al., "Categorical reparameterization
    with Gumbel-softmax", ICLR 2017, arXiv 1611.01144. The difference of two Gumbel variables is
    drawn as one logistic variable, which has the same distribution.

    Example
    -------
    >>> logits = torch.tensor([-2.0, 0.0, 2.0])
    >>> soft = GateRelaxation(temperature=1.0, noise_scale=0.0)
    >>> soft.scaled_logits(logits).sigmoid()
    tensor([0.1192, 0.5000, 0.8808])
    """

    temperature: float = 1.0
    noise_scale: float = 0.0

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.noise_scale >= 0:
            raise ValueError(
                "temperature must be > 0 and noise_scale >= 0, got "
                f"{self.temperature} and {self.noise_scale}; the paper ends at 1e-5 and 1"
            )

    def scaled_logits(self, logits: Tensor) -> Tensor:
        """The logits of the relaxed gates; a gate is their sigmoid, and its logarithm is finite.

        Arguments
        ---------
        logits : Tensor
            Of the keep probabilities, any shape.

        Returns
        -------
        Tensor
            Same shape, in float32 or float64.
        """
        # In half precision a division by 1e-5 would overflow.
        logits = logits.double() if logits.dtype == torch.float64 else logits.float()
        if self.noise_scale > 0:
            uniform = torch.rand_like(logits).clamp_(1e-7, 1 - 1e-7)
            logits = logits + self.noise_scale * torch.logit(uniform)
        return logits / self.temperature
