"""What a speaker-embedding model is trained to make small: the baseline without weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.losses.speaker_loss import SpeakerLoss


class SpeakerObjective:
    """Mean over the utterances of the sum of some losses; all weigh the same.

    It is the baseline, and the interface that adversarial reweighting shares. It owns no
    parameters: the losses belong among the modules of the recipe, where the learner's optimizer
    finds theirs.

    Arguments
    ---------
    losses : sequence of SpeakerLoss
        Added up.

    Raises
    ------
    ValueError
        If there are none.

    Example
    -------
    >>> from sb_alexa.losses.speaker_classification import SpeakerClassificationLoss
    >>> loss = SpeakerClassificationLoss(embedding_size=4, num_speakers=10)
    >>> objective = SpeakerObjective(losses=[loss])
    >>> batch = SpeakerBatch.of(torch.zeros(4, 4), torch.tensor([0, 0, 7, 7]))
    >>> round(objective(batch).item(), 3)  # log(10)
    2.303
    """

    def __init__(self, *, losses: Sequence[SpeakerLoss]) -> None:
        if not losses or not all(isinstance(loss, SpeakerLoss) for loss in losses):
            raise ValueError(
                "losses must be a list of at least one SpeakerLoss, such as "
                f"AngularPrototypicalLoss, got {[type(loss).__name__ for loss in losses]}"
            )
        self.losses = tuple(losses)

    def __call__(self, batch: SpeakerBatch) -> Tensor:
        """The objective without weights.

        Arguments
        ---------
        batch : SpeakerBatch
            The global batch.

        Returns
        -------
        Tensor
            Scalar: the mean over this process's utterances. The mean of those of all processes,
            weighted by their utterances, is the objective of the global batch.
        """
        return self.sample_losses(batch).mean()

    def sample_losses(self, batch: SpeakerBatch) -> Tensor:
        """(n,) nats of each of this process's utterances, without weights."""
        embeddings, speakers, rows = batch.embeddings, batch.speakers, batch.rows
        return torch.stack([loss(embeddings, speakers, rows) for loss in self.losses]).sum(0)
