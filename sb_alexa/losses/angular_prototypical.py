"""Angular prototypical loss: every utterance must be closest to the others of its speaker."""

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


class AngularPrototypicalLoss(PairLoss):
    """Cross-entropy of an utterance's similarity with the prototypes of all speakers of the batch.

    A batch has S speakers with M utterances each, in any order. The utterances of a speaker are the
    query in turn, the first ones of all speakers together, then the second ones: the prototypes are
    the mean embeddings of each speaker's M - 1 other utterances. With the logits ``S_ik = scale *
    cos(query_i, prototype_k)`` the loss of a query is
    ``-w_ii log(exp(S_ii) / (exp(S_ii) + sum_{k != i} w_ik exp(S_ik)))``,
    where w_ik = 1, or half the sum of the weights of query i and prototype k, the latter the mean
    over the prototype's utterances.

    Arguments
    ---------
    scale : float
        Initial scale of the cosines, learned; 10 in the reference.

    Shape
    -----
    embeddings : (N, E)
    output : (N,), or those of `rows`

    Raises
    ------
    ValueError
        If `scale` is not positive; in a call, if the batch does not have M >= 2 utterances of each
        of S >= 2 speakers.

    Reference
    ---------
    Chung et al., "In defence of metric learning for speaker recognition", Interspeech 2020, arXiv
    2003.11982. Deviations: there the last utterance of a speaker is the only query; here all take
    turns, which gives M times as many comparisons of the same embeddings, and every utterance a
    loss that can be weighted. The learned offset is left out: it cancels in the softmax. The
    weights are our form of the pairwise weighting of Jin et al., Interspeech 2022, arXiv
    2207.07776, whose full text was not available to us.

    Example
    -------
    >>> loss = AngularPrototypicalLoss(scale=10.0)
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> loss(embeddings, torch.tensor([5, 7, 5, 7])).max().item() < 1e-4  # two clear speakers
    True
    >>> round(loss(embeddings, torch.tensor([5, 7, 7, 5])).mean().item(), 3)  # mixed up
    10.0
    """

    def __init__(self, *, scale: float = 10.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale must be > 0, got {scale}; 10 is usual")
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(
        self,
        embeddings: Tensor,
        speakers: Tensor,
        rows: Tensor | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """See `PairLoss`."""
        check_speaker_batch(embeddings, speakers)
        order, num_speakers, num_utterances = _grid(speakers)
        with torch.autocast(embeddings.device.type, enabled=False):
            grid = full_precision(embeddings)[order].view(num_speakers, num_utterances, -1)
            logits = self._logits(grid)  # (M, S, S): position of the query, query, prototype
            if sample_weights is None:
                losses = torch.logsumexp(logits, 2) - _diagonal(logits)  # (M, S)
            else:
                weights = sample_weights.to(logits.dtype)[order].view(num_speakers, num_utterances)
                losses = _weighted(logits, _grid_weights(weights))
        losses = losses.t().reshape(-1)[order.argsort()]  # (N,) in the order of the batch
        return losses if rows is None else losses[rows]

    def _logits(self, grid: Tensor) -> Tensor:
        queries = F.normalize(grid, dim=2).transpose(0, 1)  # (M, S, E)
        prototypes = F.normalize(_mean_of_others(grid), dim=2).transpose(0, 1)
        # A negative scale would reward distance.
        return self.scale.clamp_min(1e-6) * queries @ prototypes.transpose(1, 2)


def _grid(speakers: Tensor) -> tuple[Tensor, int, int]:
    """The order that sorts a batch by speaker (N,), the number of speakers and utterances each."""
    names, counts = torch.unique(speakers, return_counts=True)
    fewest, most = (int(count) for count in counts.aminmax())
    if len(names) < 2 or fewest != most or fewest < 2:
        raise ValueError(
            "the angular prototypical loss needs batches of at least 2 speakers with the same "
            f"number, at least 2, of utterances each, got {len(names)} speakers with {fewest} "
            f"(speaker {int(names[counts.argmin()])}) to {most} (speaker "
            f"{int(names[counts.argmax()])}) utterances"
        )
    return torch.argsort(speakers, stable=True), len(names), most


def _mean_of_others(grid: Tensor) -> Tensor:
    """Mean over the M - 1 other items of dimension 1: (S, M, ...) -> (S, M, ...)."""
    return (grid.sum(1, keepdim=True) - grid) / (grid.shape[1] - 1)


def _grid_weights(weights: Tensor) -> Tensor:
    """Weights of all queries (S, M) and prototypes to those of their pairs (M, S, S)."""
    return pair_weights(weights.t(), _mean_of_others(weights).t())


def _weighted(logits: Tensor, weights: Tensor) -> Tensor:
    """Losses (M, S) of logits and weights (M, S, S)."""
    same = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    shifted = logits + weights.log().masked_fill(same, 0.0)
    return _diagonal(weights) * (torch.logsumexp(shifted, 2) - _diagonal(logits))


def _diagonal(x: Tensor) -> Tensor:
    return x.diagonal(dim1=1, dim2=2)
