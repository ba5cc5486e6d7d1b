"""Reweighting that looks at how similar a sample is to its speaker and to the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.fairness.adversarial_reweighting import AdversarialReweighting
from sb_alexa.fairness.adversary import WeightAdversary
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.losses.speaker_loss import SpeakerLoss


class AccumulatedPairwiseSimilarity(AdversarialReweighting):
    """Adversarial reweighting from accumulated pairwise similarity (APS).

    The adversary sees two numbers of a sample: its mean cosine with the other samples of its
    speaker and with those of other speakers. Its weight multiplies the sample's loss.

    Arguments
    ---------
    losses : sequence of SpeakerLoss
        Added up.
    adversary : WeightAdversary
        With `input_size` 2.

    Reference
    ---------
    Jin et al., Interspeech 2022, arXiv 2207.07776; the full text was not available to us. Theirs:
    the accumulated similarities of pairs. Ours: that they are two means of cosines over the global
    batch, and that the weight multiplies the sample's loss.

    Example
    -------
    >>> from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
    >>> objective = AccumulatedPairwiseSimilarity(
    ...     losses=[AngularPrototypicalLoss()], adversary=WeightAdversary(input_size=2)
    ... )
    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    >>> batch = SpeakerBatch.of(embeddings, torch.tensor([0, 0, 1, 1]))
    >>> objective.features(batch).tolist()  # the last sample is more like the other speaker
    [[1.0, 0.5], [1.0, 0.5], [0.0, 0.0], [0.0, 1.0]]
    >>> objective.sample_weights(batch).tolist()  # nobody has trained the adversary yet
    [2.0, 2.0, 2.0, 2.0]
    """

    def __init__(self, *, losses: Sequence[SpeakerLoss], adversary: WeightAdversary) -> None:
        super().__init__(losses=losses, adversary=adversary, feature_size=2)

    def features(self, batch: SpeakerBatch) -> Tensor:
        """(N, 2): mean cosines with the same and with other speakers, 0 where there are none."""
        dtype = self.adversary.output.weight.dtype
        with torch.autocast(batch.embeddings.device.type, enabled=False):
            unit = F.normalize(batch.embeddings.to(dtype), dim=1)
            cosines = unit @ unit.t()  # (N, N)
            same = batch.speakers[:, None] == batch.speakers
            other = ~same
            same = same.fill_diagonal_(False)
            return torch.stack(
                [(cosines * mask).sum(1) / mask.sum(1).clamp_min(1) for mask in (same, other)], 1
            )
