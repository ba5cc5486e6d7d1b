"""The one place where samples are buffered."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class SampleBuffer:
    """Samples of a live stream that wait until they complete a step of a model.

    Arguments
    ---------
    like : Tensor
        A tensor with the type and the device that the model wants.
    sample_rate : int
        Samples per second.

    Streaming
    ---------
    Holds the samples that wait, nothing else.

    Example
    -------
    >>> buffer = SampleBuffer(like=torch.zeros(0), sample_rate=16000)
    >>> buffer.append(torch.zeros(1000))
    >>> len(buffer.take(960)), buffer.num_buffered, buffer.audio_s
    (960, 40, 0.0625)
    """

    def __init__(self, *, like: Tensor, sample_rate: int) -> None:
        self.is_closed = False
        self._sample_rate = sample_rate
        self._buffer = like.new_zeros(0)
        self._num_samples = 0

    @property
    def num_buffered(self) -> int:
        """Samples waiting."""
        return len(self._buffer)

    @property
    def audio_s(self) -> float:
        """Seconds of audio since the beginning of the stream."""
        return self._num_samples / self._sample_rate

    def append(self, samples: Tensor | np.ndarray) -> None:
        """Check samples and let them wait.

        Arguments
        ---------
        samples : Tensor | numpy.ndarray
            (N,) floating point in [-1, 1]; N may be 0.

        Raises
        ------
        TypeError
            If the samples are not floating point numbers.
        ValueError
            If they are not one channel, a sample is NaN or infinite, or the stream is closed.
            Nothing of refused samples is taken.
        """
        if self.is_closed:
            raise ValueError(
                "the session is finished and takes no more samples; "
                "open another one for the next recording"
            )
        new = self._checked(samples)
        self._num_samples += len(new)
        self._buffer = torch.cat([self._buffer, new.to(self._buffer)])

    def close(self) -> None:
        """Take no more samples."""
        if self.is_closed:
            raise ValueError("the session is finished already; open another one")
        self.is_closed = True

    def take(self, num_samples: int) -> Tensor:
        """Remove the first samples that wait."""
        taken, rest = self._buffer[:num_samples], self._buffer[num_samples:]
        # A copy: a view would keep all of a long push in memory.
        self._buffer = rest.clone() if len(rest) < num_samples else rest
        return taken

    def take_all(self) -> Tensor:
        """Remove all samples that wait."""
        return self.take(len(self._buffer))

    def _checked(self, samples: Tensor | np.ndarray) -> Tensor:
        if not isinstance(samples, (Tensor, np.ndarray)):
            raise TypeError(
                f"samples are a torch tensor or a numpy array, got {type(samples).__name__}"
            )
        new = torch.as_tensor(samples).detach()
        if not new.is_floating_point():
            raise TypeError(
                f"samples are floating point numbers in [-1, 1], got {new.dtype}; "
                "divide 16-bit integers by 32768"
            )
        if new.dim() != 1:
            raise ValueError(
                f"samples are one channel of shape (N,), got {tuple(new.shape)}; "
                "average the channels, or open a session for each"
            )
        finite = new.isfinite()
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            position = self._num_samples + first
            raise ValueError(
                f"sample {first} of this push is {new[first].item()}, at "
                f"{position / self._sample_rate:.3f} s of the stream; replace what is not finite "
                "(0.0 is silence) and push again"
            )
        return new
