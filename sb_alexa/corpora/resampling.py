"""Band-limited change of sampling rate by the discrete Fourier transform."""

from __future__ import annotations

import math

import numpy as np

_TAPER_SHARE = 0.05


def fast_length(num_samples: int) -> int:
    """Return the smallest length >= num_samples whose only prime factors are 2, 3 and 5.

    Fourier transforms of such lengths are fast; those of large primes are many times slower.

    Example
    -------
    >>> fast_length(641), fast_length(1)
    (648, 1)
    """
    best = 1 << max(num_samples - 1, 0).bit_length()
    power_of_five = 1
    while power_of_five < best:
        odd = power_of_five
        while odd < best:
            quotient = -(-num_samples // odd)
            best = min(best, odd * (1 << max(quotient - 1, 0).bit_length()))
            odd *= 3
        power_of_five *= 5
    return best


def resample(samples: np.ndarray, *, rate_hz: int, new_rate_hz: int) -> np.ndarray:
    """Change the sampling rate of a whole recording, without delay.

    The spectrum is cut at the lower of the two Nyquist frequencies, with a cosine taper over its
    last 5 %, so nothing aliases and there is no ringing at the cut. Sample n of the result lies at
    n / new_rate_hz seconds: times in seconds stay valid.

    Arguments
    ---------
    samples : numpy.ndarray
        One channel, shape (N,).
    rate_hz, new_rate_hz : int
        Present and wanted sampling rate.

    Returns
    -------
    numpy.ndarray
        float32, shape (round(N * new_rate_hz / rate_hz),).

    Raises
    ------
    ValueError
        If a rate is not positive or the recording is not one-dimensional.

    Example
    -------
    >>> time_s = np.arange(22050) / 22050
    >>> tone = resample(np.sin(2 * np.pi * 440 * time_s), rate_hz=22050, new_rate_hz=16000)
    >>> expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    >>> tone.shape, bool(np.abs(tone - expected)[200:-200].max() < 1e-2)
    ((16000,), True)
    """
    if rate_hz <= 0 or new_rate_hz <= 0:
        raise ValueError(f"sampling rates must be > 0 Hz, got {rate_hz} and {new_rate_hz}")
    if samples.ndim != 1:
        raise ValueError(f"resample takes one channel of shape (N,), got {samples.shape}")
    divisor = math.gcd(rate_hz, new_rate_hz)
    down, up = rate_hz // divisor, new_rate_hz // divisor
    # Both transforms have lengths that are multiples of the same number of blocks; the padding
    # also keeps the end of the recording from wrapping round to its start.
    num_blocks = fast_length(-(-samples.size // down) + 2)
    spectrum = np.fft.rfft(samples.astype(np.float32), num_blocks * down)
    num_bins = num_blocks * min(up, down) // 2
    taper = max(int(_TAPER_SHARE * num_bins), 1)
    spectrum[num_bins - taper : num_bins] *= np.cos(np.linspace(0, np.pi / 2, taper)) ** 2
    spectrum[num_bins:] = 0
    wanted = num_blocks * up // 2 + 1
    if spectrum.size < wanted:
        spectrum = np.pad(spectrum, (0, wanted - spectrum.size))
    resampled = np.fft.irfft(spectrum[:wanted], num_blocks * up) * (up / down)
    return resampled[: round(samples.size * up / down)].astype(np.float32)
