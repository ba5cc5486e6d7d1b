"""What all formulations have in common, and what sets them apart."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.fairness.accumulated_similarity import AccumulatedPairwiseSimilarity
from sb_alexa.fairness.adversarial_reweighting import AdversarialReweighting
from sb_alexa.fairness.adversary import WeightAdversary
from sb_alexa.fairness.pairwise_weighting import PairwiseWeighting
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.fairness.speaker_objective import SpeakerObjective
from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
from sb_alexa.losses.speaker_classification import SpeakerClassificationLoss
from tests.fairness.tiny_objectives import (
    EMBEDDING_SIZE,
    FORMULATIONS,
    NUM_CLUSTERS,
    SPEAKERS,
    make_adversary,
    make_batch,
    make_clusters,
    make_objective,
)


def loss_parameters(objective: SpeakerObjective) -> list[nn.Parameter]:
    return [parameter for loss in objective.losses for parameter in loss.parameters()]


def value(objective: AdversarialReweighting, batch: SpeakerBatch) -> Tensor:
    return objective.weighted(batch, objective.sample_weights(batch))


@pytest.fixture(params=FORMULATIONS)
def objective(request: pytest.FixtureRequest) -> AdversarialReweighting:
    return make_objective(request.param)


def test_mean_weights(objective: AdversarialReweighting) -> None:
    weights = objective.sample_weights(make_batch())
    assert weights.mean().item() == pytest.approx(2, abs=1e-12)
    assert weights.std() > 0.05, "equal weights would make the other tests empty"


def test_a_constant_adversary_is_the_unweighted_objective(
    objective: AdversarialReweighting,
) -> None:
    nn.init.zeros_(objective.adversary.output.weight)
    nn.init.constant_(objective.adversary.output.bias, -3.0)
    batch = make_batch()
    learned = [batch.embeddings, *loss_parameters(objective)]
    weighted, plain = value(objective, batch), objective(batch)
    assert weighted.item() == pytest.approx(plain.item(), abs=1e-12)
    for found, expected in zip(
        torch.autograd.grad(weighted, learned), torch.autograd.grad(plain, learned), strict=True
    ):
        assert torch.allclose(found, expected, atol=1e-12)


def test_gradients_of_both_players_are_those_of_the_same_objective(
    objective: AdversarialReweighting,
) -> None:
    batch = make_batch()
    adversary = tuple(objective.adversary.parameters())
    # gradcheck moves the parameters in place, so the function need not look at its arguments.
    assert torch.autograd.gradcheck(lambda *_: value(objective, batch.detach()), adversary)
    weights = objective.sample_weights(batch).detach()
    learner = (batch.embeddings, *loss_parameters(objective))
    assert torch.autograd.gradcheck(lambda *_: objective.weighted(batch, weights), learner)


def test_the_adversary_raises_what_the_learner_lowers(objective: AdversarialReweighting) -> None:
    batch = make_batch()
    before = value(objective, batch)
    adversary = list(objective.adversary.parameters())
    learner = [batch.embeddings, *loss_parameters(objective)]
    up = torch.autograd.grad(before, adversary, retain_graph=True)
    down = torch.autograd.grad(before, learner)
    weights = objective.sample_weights(batch).detach()
    with torch.no_grad():
        for parameter, gradient in zip(adversary, up, strict=True):
            parameter.add_(gradient, alpha=1e-4)
        assert value(objective, batch) > before
        for tensor, gradient in zip(learner, down, strict=True):
            tensor.sub_(gradient, alpha=1e-4)
        assert objective.weighted(batch, weights) < before


def test_no_gradient_reaches_the_embeddings_through_the_adversary(
    objective: AdversarialReweighting,
) -> None:
    batch = make_batch()
    weights = objective.sample_weights(batch)
    assert torch.autograd.grad(weights.max(), batch.embeddings, allow_unused=True) == (None,)


def test_weights_act_on_losses(objective: AdversarialReweighting) -> None:
    batch = make_batch()
    weights = objective.sample_weights(batch)
    losses = objective.weighted_losses(batch, weights / 2)
    assert losses.mean().item() == pytest.approx(value(objective, batch).item(), abs=1e-12)
    classification, pairs = objective.losses
    expected = weights / 2 * classification(batch.embeddings, SPEAKERS)
    if isinstance(objective, PairwiseWeighting):
        expected = expected + pairs(batch.embeddings, SPEAKERS, None, weights / 2)
    else:
        expected = expected + weights / 2 * pairs(batch.embeddings, SPEAKERS)
    assert torch.allclose(losses, expected, atol=1e-12)


def test_a_process_gets_the_losses_of_its_own_rows(objective: AdversarialReweighting) -> None:
    whole = make_batch()
    weights = objective.sample_weights(whole)
    parts = [
        SpeakerBatch(whole.embeddings, whole.speakers, torch.tensor(rows))
        for rows in ([0, 2, 4, 6, 8], [1, 3, 5, 7])
    ]
    assert torch.equal(objective.sample_weights(parts[1]), weights)
    total = sum(objective.weighted(part, weights) * part.share for part in parts)
    assert torch.allclose(torch.as_tensor(total), value(objective, whole), atol=1e-12)
    plain = sum(objective(part) * part.share for part in parts)
    assert torch.allclose(torch.as_tensor(plain), objective(whole), atol=1e-12)


def test_accumulated_similarities_are_means_over_pairs() -> None:
    objective, batch = make_objective("accumulated"), make_batch()
    expected = []
    for i in range(len(SPEAKERS)):
        sums: dict[bool, list[float]] = {True: [], False: []}
        for j in range(len(SPEAKERS)):
            if i != j:
                similarity = F.cosine_similarity(batch.embeddings[i], batch.embeddings[j], dim=0)
                sums[bool(SPEAKERS[i] == SPEAKERS[j])].append(similarity.item())
        expected.append([sum(sums[same]) / len(sums[same]) for same in (True, False)])
    found = objective.features(batch)
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), atol=1e-12)


def test_pseudo_labels_are_seen_beside_the_embedding() -> None:
    objective, batch = make_objective("pseudo_labels"), make_batch()
    assert objective.clusters is not None
    features = objective.features(batch)
    assert features.shape == (len(SPEAKERS), EMBEDDING_SIZE + NUM_CLUSTERS)
    embedding, label = features.split([EMBEDDING_SIZE, NUM_CLUSTERS], dim=1)
    assert torch.equal(label.argmax(1), objective.clusters(batch.embeddings))
    assert torch.equal(label.sum(1), torch.ones(len(SPEAKERS), dtype=torch.float64))
    assert torch.allclose(embedding.square().mean(1), torch.ones_like(embedding[:, 0]))
    longer = SpeakerBatch.of(3 * batch.embeddings, SPEAKERS)
    assert torch.allclose(objective.features(longer), features)


def test_formulations_need_matching_parts() -> None:
    losses = [AngularPrototypicalLoss()]
    with pytest.raises(ValueError, match="gives the adversary 2 features, its input_size is 3"):
        AccumulatedPairwiseSimilarity(losses=losses, adversary=WeightAdversary(input_size=3))
    classification = SpeakerClassificationLoss(embedding_size=EMBEDDING_SIZE, num_speakers=6)
    with pytest.raises(ValueError, match="no pairs to weight in SpeakerClassificationLoss"):
        PairwiseWeighting(
            losses=[classification],
            adversary=make_adversary(EMBEDDING_SIZE + NUM_CLUSTERS),
            clusters=make_clusters(),
        )
    with pytest.raises(ValueError, match="at least one SpeakerLoss"):
        SpeakerObjective(losses=[])
    with pytest.raises(ValueError, match=r"got \['Linear'\]"):
        SpeakerObjective(losses=[nn.Linear(2, 2)])  # type: ignore[list-item]
