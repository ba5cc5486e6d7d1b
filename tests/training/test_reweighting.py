from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from torch import Tensor

from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.fairness.speaker_objective import SpeakerObjective
from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
from sb_alexa.training.checkpointing import AtomicCheckpointer
from sb_alexa.training.reweighting import Reweighting, WeightCollapseError

SPEAKERS = torch.arange(8).repeat_interleave(2)
BASELINE = "!new:sb_alexa.fairness.speaker_objective.SpeakerObjective {losses: [!ref <pairs>]}"
ACCUMULATED = """!new:sb_alexa.fairness.accumulated_similarity.AccumulatedPairwiseSimilarity
    losses: [!ref <pairs>]
    adversary: !new:sb_alexa.fairness.adversary.WeightAdversary {input_size: 2}
"""
CLUSTERED = """!new:sb_alexa.fairness.{file}
    losses: [!ref <pairs>]
    adversary: !new:sb_alexa.fairness.adversary.WeightAdversary {{input_size: 9}}
    clusters: !new:sb_alexa.fairness.embedding_clusters.EmbeddingClusters
        embedding_size: 6
        num_clusters: 3
        memory_size: 64
"""
PSEUDO_LABELS = CLUSTERED.format(file="pseudo_labelling.PseudoLabelling")
PAIRWISE = CLUSTERED.format(file="pairwise_weighting.PairwiseWeighting")


def build(objective: str, **options: object) -> Reweighting:
    """From YAML, as a recipe does."""
    settings = "".join(f"\n    {name}: {value}" for name, value in options.items())
    return load_hyperpyyaml(
        "pairs: !new:sb_alexa.losses.angular_prototypical.AngularPrototypicalLoss\n"
        f"objective: {objective}\n"
        "reweighting: !new:sb_alexa.training.reweighting.Reweighting\n"
        f"    objective: !ref <objective>{settings}\n"
        "    opt_class: !name:torch.optim.Adam {lr: 0.01}\n"
    )["reweighting"]


def make_batch() -> SpeakerBatch:
    return SpeakerBatch.of(torch.randn(16, 6, requires_grad=True), SPEAKERS)


def adversary_weight(reweighting: Reweighting) -> Tensor:
    assert reweighting.game is not None
    return reweighting.game.adversary.output.weight.detach().clone()


@pytest.mark.parametrize("objective", [BASELINE, ACCUMULATED, PSEUDO_LABELS, PAIRWISE])
def test_one_loop_trains_every_objective(objective: str) -> None:
    reweighting = build(objective, warmup_batches=2)
    reweighting.prepare("cpu")
    had_weights, entropies = [], []
    for epoch in (1, 2):
        reweighting.start_epoch(epoch)
        for _ in range(3):
            batch = make_batch()
            had_weights.append(reweighting.active)
            plain, loss = reweighting.objective(batch), reweighting.loss(batch)
            assert reweighting.active or torch.equal(plain, loss)
            loss.backward()
            entropies.append(reweighting.update(batch))
    # Clusters exist from the second epoch on.
    first = {BASELINE: 6, ACCUMULATED: 2}.get(objective, 3)
    assert had_weights == [False] * first + [True] * (6 - first)
    assert [entropy is not None for entropy in entropies] == had_weights
    if objective != BASELINE:
        assert not torch.equal(loss, plain)
        weights = reweighting.sample_weights(batch)
        assert weights.mean().item() == pytest.approx(2, abs=1e-5) and weights.std() > 1e-3


def test_the_adversary_leaves_the_learner_alone() -> None:
    reweighting, batch = build(PAIRWISE), make_batch()
    reweighting.update(batch)
    reweighting.start_epoch(1)
    before = adversary_weight(reweighting)
    reweighting.update(batch)
    assert not torch.equal(before, adversary_weight(reweighting))
    assert batch.embeddings.grad is None
    assert all(p.grad is None for loss in reweighting.objective.losses for p in loss.parameters())


def test_the_learner_leaves_the_adversary_alone() -> None:
    reweighting, batch = build(ACCUMULATED), make_batch()
    reweighting.update(batch)
    loss = reweighting.loss(batch)
    reweighting.update(batch)  # in the same step, before the learner's backward pass
    loss.backward()
    assert reweighting.game is not None
    assert all(p.grad is None for p in reweighting.game.adversary.parameters())


def test_a_nonfinite_batch_changes_nothing() -> None:
    reweighting, batch = build(PAIRWISE), make_batch()
    reweighting.update(batch)
    reweighting.start_epoch(1)
    assert reweighting.game is not None and reweighting.game.clusters is not None
    before, seen = adversary_weight(reweighting), len(reweighting.game.clusters.remembered)
    bad = batch.embeddings.detach().clone()
    bad[3, 2] = float("nan")
    assert reweighting.update(SpeakerBatch.of(bad, SPEAKERS)) is None
    assert torch.equal(before, adversary_weight(reweighting))
    assert len(reweighting.game.clusters.remembered) == seen
    assert reweighting.num_batches == 1


def test_a_resumed_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    batches = [make_batch() for _ in range(6)]

    def train(reweighting: Reweighting, some: list[SpeakerBatch], epoch: int) -> Reweighting:
        reweighting.start_epoch(epoch)
        for batch in some:
            reweighting.update(batch)
        return reweighting

    torch.manual_seed(1)
    whole = train(build(PAIRWISE), batches[:3], 1)
    AtomicCheckpointer(str(tmp_path), {"reweighting": whole}).save_checkpoint()
    train(whole, batches[3:], 2)
    resumed = build(PAIRWISE)
    assert AtomicCheckpointer(str(tmp_path), {"reweighting": resumed}).recover_if_possible()
    train(resumed, batches[3:], 2)
    assert resumed.num_batches == 6
    assert torch.equal(whole.loss(batches[0]), resumed.loss(batches[0]))
    assert torch.equal(adversary_weight(whole), adversary_weight(resumed))


def test_a_checkpoint_of_another_objective_is_refused() -> None:
    state = build(ACCUMULATED).state_dict()
    with pytest.raises(ValueError, match=r"holds \['adversary'\], PairwiseWeighting needs"):
        build(PAIRWISE).load_state_dict(state)
    with pytest.raises(ValueError, match="SpeakerObjective needs none"):
        build(BASELINE).load_state_dict(state)


def test_collapsed_weights_end_training_with_a_remedy() -> None:
    reweighting = build(ACCUMULATED, min_entropy=0.8, collapse_patience=3)
    assert reweighting.game is not None
    batch = make_batch()
    similarity = reweighting.game.features(batch)[:, 0]
    # An adversary that wants nothing but the sample closest to its speaker.
    output = reweighting.game.adversary
    output.hidden = None
    output.output = torch.nn.Linear(2, 1)
    output.output.weight.data = torch.tensor([[500.0, 0.0]])
    output.output.bias.data = -500 * similarity.max()[None]
    for _ in range(2):
        statistics = reweighting.update(batch)
        assert statistics is not None and statistics.effective_samples < 4
    with pytest.raises(WeightCollapseError, match="of 16 samples carry the weight; lower the"):
        reweighting.update(batch)


def test_a_short_dip_of_the_entropy_is_allowed() -> None:
    reweighting = build(ACCUMULATED, min_entropy=0.999999, collapse_patience=2)
    batch = make_batch()
    reweighting.update(batch)  # equal weights
    reweighting.update(batch)
    assert reweighting.num_collapsed == 1
    assert reweighting.game is not None
    torch.nn.init.zeros_(reweighting.game.adversary.output.weight)
    torch.nn.init.zeros_(reweighting.game.adversary.output.bias)
    reweighting.update(batch)
    assert reweighting.num_collapsed == 0


def test_arguments_are_checked() -> None:
    objective = SpeakerObjective(losses=[AngularPrototypicalLoss()])
    with pytest.raises(ValueError, match=r"min_entropy in \[0, 1\), got -1, 100 and 0.5"):
        Reweighting(objective=objective, warmup_batches=-1)
