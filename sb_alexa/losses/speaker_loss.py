"""What the losses of speaker embeddings have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from sb_alexa.losses.reductions import loss_dtype


class SpeakerLoss(nn.Module, ABC):
    """A loss per utterance of a batch of speaker embeddings.

    N utterances of a global batch have embeddings of E features. A process asks for the losses of
    its own utterances, `rows`, which may depend on the embeddings of all.
    """

    @abstractmethod
    def forward(self, embeddings: Tensor, speakers: Tensor, rows: Tensor | None = None) -> Tensor:
        """Losses of some utterances.

        Arguments
        ---------
        embeddings : Tensor
            (N, E) of the global batch.
        speakers : Tensor
            (N,) integers, the speaker of each.
        rows : Tensor | None
            (n,) integers, the utterances whose losses are wanted; None for all.

        Returns
        -------
        Tensor
            (n,) nats, float32 (float64 for float64 input), autocast or not.
        """


class PairLoss(SpeakerLoss):
    """A loss that compares utterances with each other, so that pairs of them can be weighted."""

    @abstractmethod
    def forward(
        self,
        embeddings: Tensor,
        speakers: Tensor,
        rows: Tensor | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Losses of some utterances, see `SpeakerLoss`.

        Arguments
        ---------
        embeddings : Tensor
            (N, E) of the global batch.
        speakers : Tensor
            (N,) integers.
        rows : Tensor | None
            (n,) integers; None for all.
        sample_weights : Tensor | None
            (N,) positive, of mean 1: every pair is weighted by `pair_weights` of its two sides.
            None, or ones, for pairs of equal weight.

        Returns
        -------
        Tensor
            (n,) nats.
        """


def pair_weights(first: Tensor, second: Tensor) -> Tensor:
    """Weights of all pairs: the sums of their sides' weights, normalised.

    Arguments
    ---------
    first : Tensor
        (..., A) weights of samples, of mean 1.
    second : Tensor
        (..., B) weights of samples, of mean 1.

    Returns
    -------
    Tensor
        (..., A, B): half of the sum, so that the mean over all pairs is 1 as well.

    Reference
    ---------
    The weight of a pair is the sum of two sample weights, n weights instead of n^2: Jin et al.,
    Interspeech 2022, arXiv 2207.07776, as its authors summarise it; the full text was not available
    to us. The normalisation is ours.

    Example
    -------
    >>> import torch
    >>> weights = torch.tensor([0.5, 1.5])
    >>> pair_weights(weights, weights).tolist()
    [[0.5, 1.0], [1.0, 1.5]]
    """
    return (first[..., :, None] + second[..., None, :]) / 2


def check_speaker_batch(embeddings: Tensor, speakers: Tensor) -> None:
    """Refuse embeddings and speakers that do not fit each other.

    Arguments
    ---------
    embeddings : Tensor
        Should be (N, E) floats.
    speakers : Tensor
        Should be (N,) integers.

    Raises
    ------
    ValueError
        With the shapes.

    Example
    -------
    >>> import torch
    >>> check_speaker_batch(torch.zeros(4, 1, 8), torch.zeros(4, dtype=torch.long))
    Traceback (most recent call last):
    ValueError: embeddings must be (N, E) floats, got torch.float32 of shape (4, 1, 8); use
    embeddings.squeeze(1) on what SpeechBrain's models return
    """
    if embeddings.dim() != 2 or not embeddings.is_floating_point():
        raise ValueError(
            f"embeddings must be (N, E) floats, got {embeddings.dtype} of shape "
            f"{tuple(embeddings.shape)}; use embeddings.squeeze(1) on what SpeechBrain's models "
            "return"
        )
    if speakers.shape != embeddings.shape[:1] or speakers.is_floating_point():
        raise ValueError(
            f"speakers must hold one integer for each of {len(embeddings)} embeddings, got "
            f"{speakers.dtype} of shape {tuple(speakers.shape)}"
        )


def full_precision(embeddings: Tensor) -> Tensor:
    """The embeddings in the precision of a loss: similarities of bfloat16 have 3 digits."""
    return embeddings.to(loss_dtype(embeddings))
