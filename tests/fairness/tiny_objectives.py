"""Every formulation with small parts in float64, its adversary away from equal weights."""

from __future__ import annotations

import torch

from sb_alexa.fairness.accumulated_similarity import AccumulatedPairwiseSimilarity
from sb_alexa.fairness.adversarial_reweighting import AdversarialReweighting
from sb_alexa.fairness.adversary import WeightAdversary
from sb_alexa.fairness.embedding_clusters import EmbeddingClusters
from sb_alexa.fairness.pairwise_weighting import PairwiseWeighting
from sb_alexa.fairness.pseudo_labelling import PseudoLabelling
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
from sb_alexa.losses.pairwise_logistic import PairwiseLogisticLoss
from sb_alexa.losses.speaker_classification import SpeakerClassificationLoss
from sb_alexa.losses.speaker_loss import SpeakerLoss

EMBEDDING_SIZE, NUM_CLUSTERS = 4, 3
SPEAKERS = torch.tensor([5, 1, 5, 0, 1, 0, 0, 5, 1])
FORMULATIONS = ("accumulated", "pseudo_labels", "pairwise", "pairwise_logistic")


def make_adversary(input_size: int) -> WeightAdversary:
    adversary = WeightAdversary(input_size=input_size, hidden_size=5).double()
    torch.nn.init.normal_(adversary.output.weight)
    return adversary


def make_clusters() -> EmbeddingClusters:
    clusters = EmbeddingClusters(
        embedding_size=EMBEDDING_SIZE, num_clusters=NUM_CLUSTERS, memory_size=64
    ).double()
    clusters.refit(torch.randn(20, EMBEDDING_SIZE), epoch=0)
    return clusters


def make_objective(formulation: str) -> AdversarialReweighting:
    """A formulation on softmax and a loss of pairs, as the random state makes it."""
    classification = SpeakerClassificationLoss(embedding_size=EMBEDDING_SIZE, num_speakers=6)
    pairs: SpeakerLoss = AngularPrototypicalLoss(scale=3.0)
    if formulation == "pairwise_logistic":
        pairs = PairwiseLogisticLoss(scale=3.0, offset=-1.0)
    losses = [classification.double(), pairs.double()]
    if formulation == "accumulated":
        return AccumulatedPairwiseSimilarity(losses=losses, adversary=make_adversary(2))
    kind = PseudoLabelling if formulation == "pseudo_labels" else PairwiseWeighting
    return kind(
        losses=losses,
        adversary=make_adversary(EMBEDDING_SIZE + NUM_CLUSTERS),
        clusters=make_clusters(),
    )


def make_batch() -> SpeakerBatch:
    """3 speakers with 3 utterances each, in no order."""
    shape = len(SPEAKERS), EMBEDDING_SIZE
    return SpeakerBatch.of(torch.randn(shape, dtype=torch.float64, requires_grad=True), SPEAKERS)
