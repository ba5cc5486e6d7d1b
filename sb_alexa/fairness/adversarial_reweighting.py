"""Adversarial reweighting: a min-max game over the weights of the training samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from sb_alexa.fairness.adversary import WeightAdversary, adversarial_weights
from sb_alexa.fairness.embedding_clusters import EmbeddingClusters
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.fairness.speaker_objective import SpeakerObjective
from sb_alexa.losses.speaker_loss import SpeakerLoss


class AdversarialReweighting(SpeakerObjective, ABC):
    """An objective whose sample weights an adversary chooses to make it large.

    The learner makes the same objective small, in turns with the adversary
    (`sb_alexa.training.reweighting.Reweighting`). No group labels take part: the adversary must
    find where the learner is bad from features of the embeddings, through which no gradient flows.

    Arguments
    ---------
    losses : sequence of SpeakerLoss
        Added up.
    adversary : WeightAdversary
        Its `input_size` must be the formulation's number of features.
    feature_size : int
        That number.
    clusters : EmbeddingClusters | None
        Of the formulations that use them.

    Raises
    ------
    ValueError
        If the adversary has another input size.

    Reference
    ---------
    Jin et al., "Adversarial reweighting for speaker verification fairness", Interspeech 2022, arXiv
    2207.07776, after Lahoti et al., NeurIPS 2020, arXiv 2006.13114. The full text of the former was
    not available to us. Known from its abstract and its authors' summary: the min-max game without
    group labels, and the three formulations. From Lahoti et al.: the weights, see
    `adversarial_weights`. Ours: everything that a formulation calls so, and the division of the
    weights by their mean, 2, which makes equal weights the unweighted objective.
    """

    def __init__(
        self,
        *,
        losses: Sequence[SpeakerLoss],
        adversary: WeightAdversary,
        feature_size: int,
        clusters: EmbeddingClusters | None = None,
    ) -> None:
        super().__init__(losses=losses)
        if adversary.input_size != feature_size:
            raise ValueError(
                f"{type(self).__name__} gives the adversary {feature_size} features, its "
                f"input_size is {adversary.input_size}; set it to {feature_size}"
            )
        self.adversary = adversary
        self.clusters = clusters

    @property
    def ready(self) -> bool:
        """False while the clusters, where there are any, were never fitted."""
        return self.clusters is None or self.clusters.fitted

    @abstractmethod
    def features(self, batch: SpeakerBatch) -> Tensor:
        """What the adversary sees of each sample of the global batch, (N, feature_size)."""

    def sample_weights(self, batch: SpeakerBatch) -> Tensor:
        """Weights of all samples of the global batch, the same on every process.

        Arguments
        ---------
        batch : SpeakerBatch
            The global batch.

        Returns
        -------
        Tensor
            (N,) lambda, of mean 2; differentiable with respect to the adversary, not to the
            embeddings.
        """
        with torch.no_grad():
            features = self.features(batch)
        return adversarial_weights(self.adversary(features))

    def weighted(self, batch: SpeakerBatch, sample_weights: Tensor) -> Tensor:
        """The objective with weights; the learner lowers it and the adversary raises it.

        Arguments
        ---------
        batch : SpeakerBatch
            The global batch.
        sample_weights : Tensor
            (N,) lambda, see `sample_weights`.

        Returns
        -------
        Tensor
            Scalar, the mean over this process's utterances, see `SpeakerObjective`.
        """
        return self.weighted_losses(batch, sample_weights / sample_weights.mean()).mean()

    def weighted_losses(self, batch: SpeakerBatch, weights: Tensor) -> Tensor:
        """(n,) losses of this process's utterances for weights (N,) of mean 1."""
        losses = self.sample_losses(batch)
        return weights[batch.rows].to(losses.dtype) * losses
