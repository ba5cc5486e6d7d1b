"""From a waveform to one embedding of its speaker."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpeakerEncoder(nn.Module):
    """Features, their mean over time taken off, and an embedding model.

    All recordings of a call have the same length. Embedding models convolve over time and pool
    over all of it, so with padding an embedding would depend on the length of its companions.

    Arguments
    ---------
    features : torch.nn.Module
        Waveforms (B, N) -> (B, T, F), such as `LogMel`.
    embedding_model : torch.nn.Module
        Features (B, T, F) -> (B, 1, E) or (B, E), such as SpeechBrain's `ECAPA_TDNN` or `ResNet`.
    min_frames : int
        Fewest frames that the embedding model can take.

    Shape
    -----
    wavs : (B, N)
    output : (B, E)

    Raises
    ------
    ValueError
        In a call, if the recordings are too short or have another shape.

    Reference
    ---------
    Desplanques et al., "ECAPA-TDNN: emphasized channel attention, propagation and aggregation in
    TDNN based speaker verification", Interspeech 2020, arXiv 2005.07143, for the mean over time.

    Example
    -------
    >>> from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    >>> from sb_alexa.nn.log_mel import LogMel
    >>> model = ECAPA_TDNN(40, channels=[8] * 5, attention_channels=4, se_channels=4, lin_neurons=6)
    >>> encoder = SpeakerEncoder(features=LogMel(n_mels=40), embedding_model=model).eval()
    >>> encoder(torch.randn(2, 16000)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self, *, features: nn.Module, embedding_model: nn.Module, min_frames: int = 10
    ) -> None:
        super().__init__()
        if min_frames < 1:
            raise ValueError(f"min_frames must be >= 1, got {min_frames}")
        self.features = features
        self.embedding_model = embedding_model
        self.min_frames = min_frames

    def forward(self, wavs: Tensor) -> Tensor:
        """See the class."""
        if wavs.dim() != 2:
            raise ValueError(
                f"recordings must have the shape (B, N), got {tuple(wavs.shape)}; "
                "use wav[None] for a single one"
            )
        features = self.features(wavs)  # (B, T, F)
        if features.shape[1] < self.min_frames:
            raise ValueError(
                f"recordings of {wavs.shape[1]} samples give {features.shape[1]} frames; an "
                f"embedding takes at least {self.min_frames}: leave shorter recordings out"
            )
        # Not in the precision of autocast: a mean over time of bfloat16 has 3 digits.
        with torch.autocast(features.device.type, enabled=False):
            features = features - features.mean(1, keepdim=True)
        embeddings = self.embedding_model(features)
        return embeddings.squeeze(1) if embeddings.dim() == 3 else embeddings
