"""The adversary of reweighted training: a small network that says which samples weigh how much."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightAdversary(nn.Module):
    """Features of a sample to the logit of f in (0, 1), its claim on weight.

    It starts as f = 1/2 for all samples, that is with equal weights: the learner's objective has
    no jump when reweighting sets in.

    Arguments
    ---------
    input_size : int
        Features of a sample: `feature_size` of the formulation.
    hidden_size : int
        Units of the hidden layer; 0 for a linear adversary, which Lahoti et al. found enough.

    Shape
    -----
    input : (N, input_size)
    output : (N,)

    Raises
    ------
    ValueError
        If a size is out of range; in a call, if the features have another size.

    Reference
    ---------
    Lahoti et al., "Fairness without demographics through adversarially reweighted learning",
    NeurIPS 2020, arXiv 2006.13114. The initial weights and the hidden layer are our choice.

    Example
    -------
    >>> adversary = WeightAdversary(input_size=2)
    >>> adversary(torch.randn(3, 2)).sigmoid().tolist()
    [0.5, 0.5, 0.5]
    """

    def __init__(self, *, input_size: int, hidden_size: int = 32) -> None:
        super().__init__()
        if input_size < 1 or hidden_size < 0:
            raise ValueError(
                "input_size must be >= 1 and hidden_size >= 0, got "
                f"{input_size} and {hidden_size}; hidden_size=0 is a linear adversary"
            )
        self.input_size = input_size
        self.hidden = nn.Linear(input_size, hidden_size) if hidden_size else None
        self.output = nn.Linear(hidden_size or input_size, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        if features.dim() != 2 or features.shape[1] != self.input_size:
            raise ValueError(
                f"the adversary takes features of shape (N, {self.input_size}), got "
                f"{tuple(features.shape)}"
            )
        with torch.autocast(features.device.type, enabled=False):
            x = features.to(self.output.weight.dtype)
            if self.hidden is not None:
                x = F.relu(self.hidden(x))
            return self.output(x).squeeze(1)


def adversarial_weights(logits: Tensor) -> Tensor:
    """Sample weights ``lambda_i = 1 + f_i / mean(f)`` with ``f = sigmoid(logits)``.

    Arguments
    ---------
    logits : Tensor
        (N,) of the adversary, for all samples of the global batch.

    Returns
    -------
    Tensor
        (N,) of mean 2: every sample has half of the weight it has without an adversary for sure,
        the other half is the adversary's to distribute.

    Reference
    ---------
    Lahoti et al., NeurIPS 2020, arXiv 2006.13114, section 3.3. Written as ``1 + N
    softmax(log(f))``, which does not divide by zero where the adversary wants no sample at all.

    Example
    -------
    >>> adversarial_weights(torch.tensor([0.0, 0.0, 100.0])).tolist()  # f = 0.5, 0.5, 1
    [1.75, 1.75, 2.5]
    >>> adversarial_weights(torch.tensor([-200.0, -200.0])).tolist()  # f = 1e-87, 0 in float32
    [2.0, 2.0]
    """
    return 1 + len(logits) * F.softmax(F.logsigmoid(logits), dim=0)
