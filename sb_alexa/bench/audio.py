"""Audio for benchmarks: noise or a recording, endless, a different part of it for each stream."""

from __future__ import annotations

import torch
from torch import Tensor


class EndlessAudio:
    """Chunks of a recording that starts again at its end.

    Arguments
    ---------
    samples : Tensor
        (N,) the recording.

    Raises
    ------
    ValueError
        If it is empty.

    Example
    -------
    >>> audio = EndlessAudio(torch.arange(5.0))
    >>> audio.chunk(1, 1, 3).tolist()
    [[3.0, 4.0, 0.0]]
    """

    def __init__(self, samples: Tensor) -> None:
        if samples.numel() == 0:
            raise ValueError("the recording is empty; give one with at least a chunk of speech")
        self.samples = samples

    @classmethod
    def noise(cls, num_samples: int = 16_000 * 61, *, seed: int = 0) -> EndlessAudio:
        """White noise at -20 dB; the time of a step does not depend on what is heard."""
        generator = torch.Generator().manual_seed(seed)
        return cls(0.1 * torch.randn(num_samples, generator=generator))

    def chunk(self, index: int, batch_size: int, num_samples: int) -> Tensor:
        """Chunk number `index` of every stream.

        Arguments
        ---------
        index : int
            Number of the chunk.
        batch_size : int
            Streams; each hears another part of the recording.
        num_samples : int
            Samples of a chunk.

        Returns
        -------
        Tensor
            (B, num_samples).
        """
        # A prime number of samples apart, so that streams do not meet within minutes.
        starts = index * num_samples + 100_003 * torch.arange(batch_size)
        positions = starts[:, None] + torch.arange(num_samples)
        return self.samples[positions % len(self.samples)]
