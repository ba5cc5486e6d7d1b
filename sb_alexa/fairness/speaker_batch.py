"""The speaker embeddings of a global batch, as one process sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sb_alexa.losses.speaker_loss import check_speaker_batch


@dataclass(frozen=True)
class SpeakerBatch:
    """Embeddings of all processes and which of them are this process's own.

    `sb_alexa.training.gathered_batch.gather_speaker_batch` makes one from the embeddings of each
    process; on one process `SpeakerBatch.of` is enough.

    Arguments
    ---------
    embeddings : Tensor
        (N, E) of the global batch.
    speakers : Tensor
        (N,) integers.
    rows : Tensor
        (n,) integers: the utterances of this process.

    Example
    -------
    >>> batch = SpeakerBatch.of(torch.zeros(4, 8), torch.tensor([0, 0, 1, 1]))
    >>> batch.rows.tolist(), batch.share
    ([0, 1, 2, 3], 1.0)
    """

    embeddings: Tensor
    speakers: Tensor
    rows: Tensor

    def __post_init__(self) -> None:
        check_speaker_batch(self.embeddings, self.speakers)

    @classmethod
    def of(cls, embeddings: Tensor, speakers: Tensor) -> SpeakerBatch:
        """A batch that is on this process alone."""
        return cls(embeddings, speakers, torch.arange(len(speakers), device=speakers.device))

    @property
    def share(self) -> float:
        """The part of the global batch that is this process's own, in (0, 1]."""
        return len(self.rows) / len(self.speakers)

    def detach(self) -> SpeakerBatch:
        """The batch without what made its embeddings: nothing learns through them."""
        return replace(self, embeddings=self.embeddings.detach())
