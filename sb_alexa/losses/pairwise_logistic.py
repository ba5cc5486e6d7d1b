"""Logistic loss of all pairs of a batch: same speaker or not?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.losses.speaker_loss import (
    PairLoss,
    check_speaker_batch,
    full_precision,
    pair_weights,
)


class PairwiseLogisticLoss(PairLoss):
    """Verification itself as a loss: log loss of ``sigmoid(scale * cosine + offset)``.

    The loss of an utterance is the mean over its pairs with the same speaker plus the mean over its
    pairs with other speakers, halved: otherwise the latter, a hundred times as many, decide alone.
    A pair's weight is half the sum of its two sample weights.

    Arguments
    ---------
    scale : float
        Initial scale of the cosines, learned.
    offset : float
        Initial offset, learned; a pair of cosine ``-offset / scale`` is undecided.

    Shape
    -----
    embeddings : (N, E)
    output : (N,), or those of `rows`

    Raises
    ------
    ValueError
        If `scale` is not positive; in a call, if an utterance is the only one of its speaker or all
        are of the same.

    Reference
    ---------
    The alternative to `AngularPrototypicalLoss` for pairwise weights; our choice. Jin et al.,
    Interspeech 2022, arXiv 2207.07776, weight pairs, but their full text was not available to us.

    Example
    -------
    >>> loss = PairwiseLogisticLoss(scale=10.0, offset=-5.0)
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> losses = loss(embeddings, torch.tensor([0, 1, 0, 1]))
    >>> losses.shape, round(losses.mean().item(), 4)  # log(1 + e^-5)
    (torch.Size([4]), 0.0067)
    """

    def __init__(self, *, scale: float = 10.0, offset: float = -5.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale must be > 0, got {scale}; 10 is usual")
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.offset = nn.Parameter(torch.tensor(float(offset)))

    def forward(
        self,
        embeddings: Tensor,
        speakers: Tensor,
        rows: Tensor | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """See `PairLoss`."""
        check_speaker_batch(embeddings, speakers)
        if rows is None:
            rows = torch.arange(len(speakers), device=speakers.device)
        same = speakers[rows, None] == speakers  # (n, N)
        other = ~same
        same = same.scatter(1, rows[:, None], False)  # no utterance is a pair with itself
        _check_pairs(same, other, speakers[rows])
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = F.normalize(full_precision(embeddings), dim=1)
            logits = self.scale.clamp_min(1e-6) * unit[rows] @ unit.t() + self.offset
            losses = F.softplus(torch.where(same, -logits, logits))  # (n, N)
            if sample_weights is not None:
                sample_weights = sample_weights.to(losses.dtype)
                losses = losses * pair_weights(sample_weights[rows], sample_weights)
        return (_masked_mean(losses, same) + _masked_mean(losses, other)) / 2


def _check_pairs(same: Tensor, other: Tensor, speakers: Tensor) -> None:
    lonely = ~(same.any(1) & other.any(1))
    if bool(lonely.any()):
        raise ValueError(
            "the pairwise logistic loss needs batches of at least 2 speakers with at least 2 "
            f"utterances each; speaker {int(speakers[lonely][0])} has no pair with "
            f"{'another speaker' if bool(same.any(1)[lonely][0]) else 'its own speaker'}"
        )


def _masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the True columns of each row: (n, N) -> (n,)."""
    return (x * mask).sum(1) / mask.sum(1)
