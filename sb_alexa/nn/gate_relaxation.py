"""Gumbel-sigmoid relaxation: gates that are nearly 0 or 1 and still have a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# The logarithm of a gate that is 0: finite, and no score comes near.
_LOG_ZERO = -1e4


@dataclass(frozen=True)
class RelaxedGates:
    """Gates with gradients, any shape.

    Arguments
    ---------
    value : Tensor
        0 to 1.
    log_value : Tensor
        Its logarithm, finite.
    """

    value: Tensor
    log_value: Tensor


@dataclass(frozen=True)
class GateRelaxation:
    """How soft and how random the gates of training are.

    ``s = sigmoid((logit p + noise_scale (g1 - g2)) / temperature)`` with Gumbel noise g1, g2. At
    temperature 1 without noise s is the keep probability p itself; towards temperature 0 with noise
    1 it becomes a sample of 0 or 1, on with probability p.

    Straight-through gates are those of evaluation, 1 where p is above the threshold and 0
    elsewhere, with the gradient of p. The last part of a training takes them: trained on samples to
    the end, as few as half of the gates were decided (p below 0.1 or above 0.9), and evaluation met
    gates that the model had never seen.

    Arguments
    ---------
    temperature : float
        tau, > 0.
    noise_scale : float
        kappa, >= 0.
    straight_through : bool
        Gates of 0 and 1 without noise; temperature and noise do nothing.
    frozen : bool
        Straight-through gates without a gradient: what decides stays as it is, the embedding that
        the lowest arbitrator reads included, and what is decided about adapts to it.

    Raises
    ------
    ValueError
        If a number is out of range.

    Reference
    ---------
    Xie et al., Interspeech 2022, arXiv 2207.02393, after Jang et al., "Categorical
    reparameterization with Gumbel-softmax", ICLR 2017, arXiv 1611.01144. The difference of two
    Gumbel variables is drawn as one logistic variable, which has the same distribution.

    Example
    -------
    >>> logits = torch.tensor([-2.0, 0.0, 2.0])
    >>> soft = GateRelaxation(temperature=1.0, noise_scale=0.0)
    >>> soft(logits).value
    tensor([0.1192, 0.5000, 0.8808])
    >>> GateRelaxation(straight_through=True)(logits).value
    tensor([0., 0., 1.])
    """

    temperature: float = 1.0
    noise_scale: float = 0.0
    straight_through: bool = False
    frozen: bool = False

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.noise_scale >= 0:
            raise ValueError(
                "temperature must be > 0 and noise_scale >= 0, got "
                f"{self.temperature} and {self.noise_scale}; the paper ends at 1e-5 and 1"
            )
        if self.frozen and not self.straight_through:
            raise ValueError("frozen gates are gates of 0 and 1: set straight_through=True too")

    def __call__(self, logits: Tensor, limit: float = 0.0) -> RelaxedGates:
        """Relax keep probabilities.

        Arguments
        ---------
        logits : Tensor
            Of the keep probabilities, any shape.
        limit : float
            Logit above which straight-through gates are on; 0 is a threshold of 0.5.

        Returns
        -------
        RelaxedGates
            In float32 or float64.
        """
        # In half precision a division by 1e-5 would overflow.
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.straight_through:
            logits = logits.detach() if self.frozen else logits
            on = logits > limit
            soft, log_soft = logits.sigmoid(), F.logsigmoid(logits)
            value = on.to(soft.dtype) + (soft - soft.detach())
            log_value = (log_soft - log_soft.detach()).masked_fill(~on, _LOG_ZERO)
            return RelaxedGates(value, log_value)
        if self.noise_scale > 0:
            uniform = torch.rand_like(logits).clamp_(1e-7, 1 - 1e-7)
            logits = logits + self.noise_scale * torch.logit(uniform)
        logits = logits / self.temperature
        return RelaxedGates(logits.sigmoid(), F.logsigmoid(logits))
