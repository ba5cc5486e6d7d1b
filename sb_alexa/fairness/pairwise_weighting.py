"""Reweighting of pairs of samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sb_alexa.fairness.adversary import WeightAdversary
from sb_alexa.fairness.embedding_clusters import EmbeddingClusters
from sb_alexa.fairness.pseudo_labelling import PseudoLabelling
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.losses.speaker_loss import PairLoss, SpeakerLoss


class PairwiseWeighting(PseudoLabelling):
    """Adversarial reweighting of pairs (PW), the best formulation of the paper.

    A verification system is right or wrong about pairs, so pairs have the weights: the sum of those
    of their two samples, which the adversary gives as in `PseudoLabelling`. Losses that compare
    utterances (`PairLoss`) weight their pairs, normalised to a mean of 1 over all pairs of the
    global batch; of the others the sample's weight multiplies its loss.

    Arguments
    ---------
    losses : sequence of SpeakerLoss
        Added up. At least one of them must be a `PairLoss`: `AngularPrototypicalLoss`, or
        `PairwiseLogisticLoss` for weighted pairs of single utterances.
    adversary : WeightAdversary
        With as many inputs as an embedding has features plus the number of clusters.
    clusters : EmbeddingClusters
        Refitted every epoch.

    Raises
    ------
    ValueError
        If no loss has pairs to weight.

    Reference
    ---------
    Jin et al., Interspeech 2022, arXiv 2207.07776; the full text was not available to us. Theirs:
    a pair's weight is the sum of two sample weights (n weights instead of n^2), which the k-means
    region of a sample informs. Ours: how the weights enter the losses, see those, their
    normalisation, and the sample weights on losses without pairs.

    Example
    -------
    >>> from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
    >>> objective = PairwiseWeighting(
    ...     losses=[AngularPrototypicalLoss()],
    ...     adversary=WeightAdversary(input_size=2 + 2),
    ...     clusters=EmbeddingClusters(embedding_size=2, num_clusters=2),
    ... )
    >>> batch = SpeakerBatch.of(torch.randn(4, 2), torch.tensor([0, 0, 1, 1]))
    >>> equal = objective.weighted(batch, torch.full((4,), 2.0))
    >>> bool(torch.isclose(equal, objective(batch)))  # equal weights are no weights
    True
    """

    def __init__(
        self,
        *,
        losses: Sequence[SpeakerLoss],
        adversary: WeightAdversary,
        clusters: EmbeddingClusters,
    ) -> None:
        super().__init__(losses=losses, adversary=adversary, clusters=clusters)
        if not any(isinstance(loss, PairLoss) for loss in losses):
            raise ValueError(
                f"PairwiseWeighting has no pairs to weight in {type(losses[0]).__name__}; add an "
                "AngularPrototypicalLoss, or take PseudoLabelling"
            )

    def weighted_losses(self, batch: SpeakerBatch, weights: Tensor) -> Tensor:
        """(n,) losses of this process's utterances for weights (N,) of mean 1."""
        embeddings, speakers, rows = batch.embeddings, batch.speakers, batch.rows
        losses = []
        for loss in self.losses:
            if isinstance(loss, PairLoss):
                losses.append(loss(embeddings, speakers, rows, weights))
            else:
                unweighted = loss(embeddings, speakers, rows)
                losses.append(weights[rows].to(unweighted.dtype) * unweighted)
        return torch.stack(losses).sum(0)
