"""Change of sampling rate of a stream."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# The filter of torchaudio.functional.resample, so that a stream sounds to a model as a file does.
_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99


class StreamingResampler:
    """Changes the sampling rate of audio that arrives in pieces, without seams.

    The pieces put together are what `torchaudio.functional.resample` makes of the whole. Sample n
    lies at ``n / new_rate_hz`` seconds: times stay valid. The filter itself waits for less than a
    millisecond; samples come in blocks of ``rate_hz / gcd(rate_hz, new_rate_hz)``, which is 10 ms
    from 44.1 to 16 kHz and one sample from 48 or 8 kHz.

    Arguments
    ---------
    rate_hz, new_rate_hz : int
        Present and wanted sampling rate.

    Raises
    ------
    ValueError
        If a rate is not positive.

    Reference
    ---------
    Smith, "Digital Audio Resampling" (https://ccrma.stanford.edu/~jos/resample/): band-limited
    interpolation with a windowed sinc.

    Example
    -------
    >>> resampler = StreamingResampler(rate_hz=8000, new_rate_hz=16000)
    >>> pieces = [
    ...     resampler.push(torch.ones(100)),
    ...     resampler.push(torch.ones(60)),
    ...     resampler.finish(),
    ... ]
    >>> sum(len(piece) for piece in pieces)
    320
    """

    def __init__(self, *, rate_hz: int, new_rate_hz: int) -> None:
        if rate_hz <= 0 or new_rate_hz <= 0:
            raise ValueError(f"sampling rates must be > 0 Hz, got {rate_hz} and {new_rate_hz}")
        divisor = math.gcd(rate_hz, new_rate_hz)
        self._down, self._up = rate_hz // divisor, new_rate_hz // divisor
        cutoff = min(self._down, self._up) * _ROLLOFF
        self._half_width = math.ceil(_ZERO_CROSSINGS * self._down / cutoff)
        self._kernel = _sinc_kernel(self._down, self._up, cutoff, self._half_width)
        self._buffer = torch.zeros(self._half_width)
        self._num_in = self._num_out = 0

    def push(self, samples: Tensor) -> Tensor:
        """Take samples at the old rate and return those at the new rate that they complete.

        Arguments
        ---------
        samples : Tensor
            (N,) float32; N may be 0.

        Returns
        -------
        Tensor
            (M,) float32.
        """
        self._num_in += len(samples)
        if self._down == self._up:
            return samples
        self._buffer = torch.cat([self._buffer, samples])
        return self._convolve()

    def finish(self) -> Tensor:
        """Return the samples still owed, (M,): in total the length times the ratio, rounded up."""
        if self._down == self._up:
            return self._buffer[:0]
        after = torch.zeros(self._half_width + self._down)
        self._buffer = torch.cat([self._buffer, after])
        owed = -(-self._num_in * self._up // self._down) - self._num_out
        return self._convolve()[:owed]

    def _convolve(self) -> Tensor:
        num_blocks = (len(self._buffer) - self._kernel.shape[2]) // self._down + 1
        if num_blocks < 1:
            return self._buffer[:0]
        used = self._kernel.shape[2] + (num_blocks - 1) * self._down
        blocks = torch.conv1d(self._buffer[None, None, :used], self._kernel, stride=self._down)
        self._buffer = self._buffer[num_blocks * self._down :].clone()
        self._num_out += num_blocks * self._up
        return blocks[0].T.reshape(-1)


def _sinc_kernel(down: int, up: int, cutoff: float, half_width: int) -> Tensor:
    """(up, 1, 2 * half_width + down): row k computes sample k of every `up` new ones."""
    position = torch.arange(-half_width, half_width + down, dtype=torch.float64) / down
    offset = torch.arange(0, -up, -1, dtype=torch.float64)[:, None, None] / up
    time = ((offset + position) * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / _ZERO_CROSSINGS / 2) ** 2
    return (torch.sinc(time) * window * cutoff / down).float()
