"""A toy verification task with a hard minority, small enough to train in a second.

The speakers of the minority differ in other features than those of the majority, and an embedding
has too few features for both: what an unweighted learner keeps is what helps the majority.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.fairness.speaker_objective import SpeakerObjective
from sb_alexa.fairness.weight_statistics import GroupWeights
from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
from sb_alexa.training.reweighting import Reweighting

HALF, EMBEDDING_SIZE = 6, 7
NUM_FEATURES = 2 * HALF + 1
# Each group is clear in one half of the features; the last one tells the groups apart.
MAJORITY_NOISE = torch.tensor([0.3] * HALF + [0.6] * HALF + [0.1])
MINORITY_NOISE = torch.tensor([1.5] * HALF + [0.3] * HALF + [0.1])
MARK = 0.5
NUM_SPEAKERS, SPEAKERS_PER_BATCH = 80, 24
STEPS_PER_EPOCH, NUM_EPOCHS = 20, 5
ADVERSARY_RATE = 0.02


@dataclass(frozen=True)
class Outcome:
    """What a training ended with, by group."""

    weights: dict[str, float]
    error_rates: dict[str, float]


def utterances(
    identity: Tensor, is_minority: Tensor, num: int, generator: torch.Generator
) -> Tensor:
    """(S * num, F): noisy observations of the speakers, those of a speaker side by side."""
    mark = torch.where(is_minority, MARK, -MARK)[:, None]
    x = torch.cat([identity, mark], 1).repeat_interleave(num, 0)
    noise = torch.where(is_minority[:, None], MINORITY_NOISE, MAJORITY_NOISE)
    return x + noise.repeat_interleave(num, 0) * torch.randn(x.shape, generator=generator)


def equal_error_rate(embeddings: Tensor, num: int) -> float:
    """Percent, over all pairs of utterances."""
    unit = nn.functional.normalize(embeddings, dim=1)
    speakers = torch.arange(len(unit)) // num
    pairs = torch.ones(len(unit), len(unit), dtype=torch.bool).triu(1)
    scores = (unit @ unit.t())[pairs].numpy()
    same = (speakers[:, None] == speakers)[pairs].numpy()
    order = np.argsort(scores)
    missed = np.cumsum(same[order]) / same.sum()
    accepted = 1 - np.cumsum(~same[order]) / (~same).sum()
    crossing = np.argmin(np.abs(missed - accepted))
    return 50.0 * float(missed[crossing] + accepted[crossing])


def train(
    make_objective: Callable[[list[AngularPrototypicalLoss], int], SpeakerObjective], seed: int
) -> Outcome:
    """Train a linear embedding; the weights are those of the last epoch."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    is_minority = torch.arange(NUM_SPEAKERS) % 4 == 0
    identity = torch.randn(NUM_SPEAKERS, 2 * HALF, generator=generator)
    names = ["minority" if one else "majority" for one in is_minority]
    learner, loss = nn.Linear(NUM_FEATURES, EMBEDDING_SIZE, bias=False), AngularPrototypicalLoss()
    reweighting = Reweighting(
        objective=make_objective([loss], EMBEDDING_SIZE),
        opt_class=lambda parameters: torch.optim.Adam(parameters, lr=ADVERSARY_RATE),
        warmup_batches=STEPS_PER_EPOCH,
    )
    optimizer = torch.optim.Adam([*learner.parameters(), *loss.parameters()], lr=0.02)
    weights = GroupWeights({}, {})
    for epoch in range(1, NUM_EPOCHS + 1):
        reweighting.start_epoch(epoch)
        for _ in range(STEPS_PER_EPOCH):
            speakers = torch.randperm(NUM_SPEAKERS, generator=generator)[:SPEAKERS_PER_BATCH]
            embeddings = learner(
                utterances(identity[speakers], is_minority[speakers], 2, generator)
            )
            batch = SpeakerBatch.of(embeddings, speakers.repeat_interleave(2))
            if epoch == NUM_EPOCHS:
                groups = [names[speaker] for speaker in batch.speakers.tolist()]
                weights += GroupWeights.of(reweighting.sample_weights(batch), groups)
            optimizer.zero_grad()
            reweighting.loss(batch).backward()
            optimizer.step()
            reweighting.update(batch)
    return Outcome(weights.means, _error_rates(learner))


@torch.no_grad()
def _error_rates(learner: nn.Module) -> dict[str, float]:
    """Within each group, on speakers that were not in training."""
    generator = torch.Generator().manual_seed(99)
    rates = {}
    for name, minority in (("majority", False), ("minority", True)):
        identity = torch.randn(100, 2 * HALF, generator=generator)
        x = utterances(identity, torch.full((100,), minority), 4, generator)
        rates[name] = equal_error_rate(learner(x), 4)
    return rates
