"""Speaker classification: softmax, or a margin of SpeechBrain's, with a loss per utterance."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.losses.speaker_loss import SpeakerLoss, check_speaker_batch, full_precision

Margin = Callable[[Tensor, Tensor], Tensor]


class SpeakerClassificationLoss(SpeakerLoss):
    """Cross-entropy over the training speakers.

    Without a margin it is the plain softmax, a linear layer with bias. With one the logits are what
    the margin makes of the cosines between embedding and speaker vectors, as in SpeechBrain's
    ECAPA-TDNN `Classifier` with `LogSoftmaxWrapper`, which however returns the mean only.

    Arguments
    ---------
    embedding_size : int
        E.
    num_speakers : int
        Training speakers, numbered from 0.
    margin : Callable | None
        (cosines (n, num_speakers), one-hot targets) -> logits, for example
        `speechbrain.nnet.losses.AdditiveAngularMargin` with margin 0.2 and scale 30 for
        AAM-softmax. None for the plain softmax.

    Shape
    -----
    embeddings : (N, E)
    output : (N,), or those of `rows`

    Raises
    ------
    ValueError
        If a size is not positive; in a call, if a speaker's number is out of range or the
        embeddings have another size.

    Reference
    ---------
    Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019, arXiv
    1801.07698.

    Example
    -------
    >>> loss = SpeakerClassificationLoss(embedding_size=4, num_speakers=10)
    >>> losses = loss(torch.zeros(2, 4), torch.tensor([3, 8]))  # of embeddings that say nothing
    >>> [round(loss, 3) for loss in losses.tolist()]  # log(10)
    [2.303, 2.303]
    """

    def __init__(
        self, *, embedding_size: int, num_speakers: int, margin: Margin | None = None
    ) -> None:
        super().__init__()
        if embedding_size < 1 or num_speakers < 2:
            raise ValueError(
                "embedding_size must be >= 1 and num_speakers >= 2, got "
                f"{embedding_size} and {num_speakers}"
            )
        self.margin = margin
        self.weight = nn.Parameter(torch.empty(num_speakers, embedding_size))
        nn.init.xavier_uniform_(self.weight)
        self.bias = nn.Parameter(torch.zeros(num_speakers)) if margin is None else None

    def forward(self, embeddings: Tensor, speakers: Tensor, rows: Tensor | None = None) -> Tensor:
        """See `SpeakerLoss`."""
        check_speaker_batch(embeddings, speakers)
        if rows is not None:
            embeddings, speakers = embeddings[rows], speakers[rows]
        self._check(embeddings, speakers)
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = self._logits(full_precision(embeddings), speakers)
            return F.cross_entropy(logits, speakers.long(), reduction="none")

    def _logits(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        if self.margin is None:
            return F.linear(embeddings, self.weight, self.bias)
        cosines = F.linear(F.normalize(embeddings, dim=1), F.normalize(self.weight, dim=1))
        targets = F.one_hot(speakers.long(), len(self.weight)).to(cosines.dtype)
        return self.margin(cosines, targets)

    def _check(self, embeddings: Tensor, speakers: Tensor) -> None:
        num_speakers, size = self.weight.shape
        if embeddings.shape[1] != size:
            raise ValueError(
                f"the embeddings have {embeddings.shape[1]} features, embedding_size is {size}"
            )
        # An index out of range ends a training on a GPU with an error that names nothing.
        lowest, highest = (int(speaker) for speaker in speakers.aminmax())
        if lowest < 0 or highest >= num_speakers:
            raise ValueError(
                f"speakers must be in 0..{num_speakers - 1}, got {lowest}..{highest}; num_speakers "
                "is the number of training speakers"
            )
