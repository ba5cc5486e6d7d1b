"""Reweighting that looks at where a sample's embedding lies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.fairness.adversarial_reweighting import AdversarialReweighting
from sb_alexa.fairness.adversary import WeightAdversary
from sb_alexa.fairness.embedding_clusters import EmbeddingClusters
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.losses.speaker_loss import SpeakerLoss


class PseudoLabelling(AdversarialReweighting):
    """Adversarial reweighting from pseudo-labels (PL): clusters stand for the unknown groups.

    The adversary sees a sample's embedding and its k-means cluster. Its weight multiplies the
    sample's loss. Until the clusters are fitted for the first time, at the start of an epoch,
    `ready` is False and training goes on without weights.

    Arguments
    ---------
    losses : sequence of SpeakerLoss
        Added up.
    adversary : WeightAdversary
        With as many inputs as an embedding has features plus the number of clusters.
    clusters : EmbeddingClusters
        Refitted every epoch.

    Reference
    ---------
    Jin et al., Interspeech 2022, arXiv 2207.07776; the full text was not available to us. Theirs:
    pseudo-labels by k-means. Ours: that the adversary sees the embedding too, scaled to the length
    ``sqrt(E)`` so that its features and the label are of the same size; the number of clusters; and
    that the weight multiplies the sample's loss.

    Example
    -------
    >>> from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
    >>> clusters = EmbeddingClusters(embedding_size=2, num_clusters=2)
    >>> objective = PseudoLabelling(
    ...     losses=[AngularPrototypicalLoss()],
    ...     adversary=WeightAdversary(input_size=2 + 2),
    ...     clusters=clusters,
    ... )
    >>> embeddings = torch.tensor([[4.0, 0.0], [3.0, 0.1], [0.0, 1.0], [0.1, 2.0]])
    >>> batch = SpeakerBatch.of(embeddings, torch.tensor([0, 0, 1, 1]))
    >>> clusters.refit(batch.embeddings, epoch=1)
    >>> label = objective.features(batch)[:, 2:]
    >>> [torch.equal(label[0], other) for other in label]
    [True, True, False, False]
    """

    clusters: EmbeddingClusters

    def __init__(
        self,
        *,
        losses: Sequence[SpeakerLoss],
        adversary: WeightAdversary,
        clusters: EmbeddingClusters,
    ) -> None:
        super().__init__(
            losses=losses,
            adversary=adversary,
            feature_size=clusters.embedding_size + clusters.num_clusters,
            clusters=clusters,
        )

    def features(self, batch: SpeakerBatch) -> Tensor:
        """(N, E + number of clusters): the embedding of length sqrt(E), and its cluster."""
        dtype = self.adversary.output.weight.dtype
        embeddings = F.normalize(batch.embeddings.to(dtype), dim=1)
        labels = F.one_hot(self.clusters(batch.embeddings), self.clusters.num_clusters)
        return torch.cat([embeddings * math.sqrt(embeddings.shape[1]), labels.to(dtype)], dim=1)
