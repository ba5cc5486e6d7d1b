"""On a task with a hard minority, every formulation finds it and helps it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from sb_alexa.fairness.accumulated_similarity import AccumulatedPairwiseSimilarity
from sb_alexa.fairness.adversary import WeightAdversary
from sb_alexa.fairness.embedding_clusters import EmbeddingClusters
from sb_alexa.fairness.pairwise_weighting import PairwiseWeighting
from sb_alexa.fairness.pseudo_labelling import PseudoLabelling
from sb_alexa.fairness.speaker_objective import SpeakerObjective
from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
from tests.fairness.planted_subgroup import Outcome, train

SEEDS = range(5)
NUM_CLUSTERS = 6
Losses = list[AngularPrototypicalLoss]


def unweighted(losses: Losses, embedding_size: int) -> SpeakerObjective:
    return SpeakerObjective(losses=losses)


def accumulated(losses: Losses, embedding_size: int) -> SpeakerObjective:
    return AccumulatedPairwiseSimilarity(
        losses=losses, adversary=WeightAdversary(input_size=2, hidden_size=16)
    )


def _with_clusters(kind: type[PseudoLabelling], losses: Losses, size: int) -> SpeakerObjective:
    clusters = EmbeddingClusters(embedding_size=size, num_clusters=NUM_CLUSTERS, memory_size=512)
    adversary = WeightAdversary(input_size=size + NUM_CLUSTERS, hidden_size=0)
    return kind(losses=losses, adversary=adversary, clusters=clusters)


def pseudo_labels(losses: Losses, embedding_size: int) -> SpeakerObjective:
    return _with_clusters(PseudoLabelling, losses, embedding_size)


def pairwise(losses: Losses, embedding_size: int) -> SpeakerObjective:
    return _with_clusters(PairwiseWeighting, losses, embedding_size)


@cache
def baseline() -> tuple[Outcome, ...]:
    return tuple(train(unweighted, seed) for seed in SEEDS)


@pytest.mark.parametrize("formulation", [accumulated, pseudo_labels, pairwise])
def test_the_hard_minority_gains_weight_and_accuracy(formulation: Any) -> None:
    outcomes = [train(formulation, seed) for seed in SEEDS]
    weights = [outcome.weights["minority"] for outcome in outcomes]
    assert np.mean(weights) > 1.2 and np.sum(np.array(weights) > 1.0) >= 4, weights
    gains = [
        before.error_rates["minority"] - after.error_rates["minority"]
        for before, after in zip(baseline(), outcomes, strict=True)
    ]
    assert min(gains) > 0 and np.mean(gains) > 2, f"points of EER gained, by seed: {gains}"


def test_the_unweighted_learner_neglects_the_minority() -> None:
    """Otherwise the test above would show nothing."""
    for outcome in baseline():
        assert outcome.error_rates["minority"] > outcome.error_rates["majority"] + 3
        assert outcome.weights == {"majority": 1.0, "minority": 1.0}
