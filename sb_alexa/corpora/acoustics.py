"""Recording conditions of one utterance: silence around it, room, band, noise and level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.resampling import fast_length
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ

_PEAK = 0.95


@dataclass(frozen=True)
class Conditions:
    """How an utterance is recorded.

    A fresh draw for every utterance: one room per speaker would give the speaker away.

    Arguments
    ---------
    lead_s, tail_s : float
        Silence before and after the speech, seconds.
    reverberation_time_s : float
        Time in which the room's echo falls by 60 dB.
    direct_to_reverberant_db : float
        Energy of the direct sound over that of the echo.
    bandwidth_hz : float
        Upper edge of the recorded band.
    noise_slope : float
        Power spectrum of the noise falls as 1 / f ** noise_slope (0 white, 1 pink, 2 brown).
    snr_db : float
        Mean power of the speech over that of the noise.
    level_dbfs : float
        Root mean square of the speech, relative to full scale.
    """

    lead_s: float
    tail_s: float
    reverberation_time_s: float
    direct_to_reverberant_db: float
    bandwidth_hz: float
    noise_slope: float
    snr_db: float
    level_dbfs: float


def draw_conditions(rng: np.random.Generator, *, hardness: float = 0.0) -> Conditions:
    """Draw the recording conditions of one utterance.

    Arguments
    ---------
    rng : numpy.random.Generator
        Stream of the utterance.
    hardness : float
        0 (none) to 1: lowers the signal-to-noise ratio by up to 15 dB and the upper edge of the
        band to as little as 3.2 kHz.

    Returns
    -------
    Conditions

    Example
    -------
    >>> easy = draw_conditions(np.random.default_rng(0))
    >>> hard = draw_conditions(np.random.default_rng(0), hardness=1.0)
    >>> round(easy.snr_db - hard.snr_db, 6), hard.bandwidth_hz
    (15.0, 3200.0)
    """
    return Conditions(
        lead_s=rng.uniform(0.1, 0.4),
        tail_s=rng.uniform(0.2, 0.4),
        reverberation_time_s=rng.uniform(0.1, 0.4),
        direct_to_reverberant_db=rng.uniform(3, 15),
        bandwidth_hz=SAMPLE_RATE_HZ / 2 * (1 - 0.6 * hardness),
        noise_slope=rng.uniform(0, 2),
        snr_db=rng.uniform(15, 35) - 15 * hardness,
        level_dbfs=rng.uniform(-32, -18),
    )


def record(samples: np.ndarray, conditions: Conditions, rng: np.random.Generator) -> np.ndarray:
    """Record clean speech under given conditions.

    The direct sound of the room has no delay: what was at t seconds is now at exactly
    ``conditions.lead_s`` + t seconds (rounded to a sample).

    Arguments
    ---------
    samples : numpy.ndarray
        Clean speech, 16 kHz, shape (N,).
    conditions : Conditions
        From :func:`draw_conditions`.
    rng : numpy.random.Generator
        Stream of the utterance, for the room's echo and the noise.

    Returns
    -------
    numpy.ndarray
        float32, 16 kHz, within -0.95..0.95 (an utterance that would exceed it is made softer).
    """
    lead, tail = (round(s * SAMPLE_RATE_HZ) for s in (conditions.lead_s, conditions.tail_s))
    num_samples = lead + samples.size + tail
    response = _room_response(conditions, rng)
    # Long enough for the echo of the last sample not to wrap round to the start.
    length = fast_length(num_samples + response.size)
    padded = np.zeros(length, dtype=np.float32)
    padded[lead : lead + samples.size] = samples
    spectrum = np.fft.rfft(padded) * np.fft.rfft(response, length)
    frequency_hz = np.arange(spectrum.size, dtype=np.float32) * (SAMPLE_RATE_HZ / length)
    # A raised cosine 400 Hz wide: an abrupt edge would ring.
    edge = np.clip((conditions.bandwidth_hz - frequency_hz) / 400, 0, 1)
    spectrum *= np.sin(np.pi / 2 * edge) ** 2
    power = float(np.mean(np.square(samples))) or 1.0
    noise_power = power * 10 ** (-conditions.snr_db / 10)
    # Speech and noise are added as spectra: one inverse transform less.
    spectrum += noise_spectrum(frequency_hz, length, conditions.noise_slope, noise_power, rng)
    recorded = np.fft.irfft(spectrum, length).astype(np.float32)[:num_samples]
    gain = 10 ** (conditions.level_dbfs / 20) / np.sqrt(power)
    gain = min(gain, _PEAK / max(float(np.abs(recorded).max()), 1e-9))
    return recorded * np.float32(gain)


def coloured_noise(
    num_samples: int, sample_rate: int, slope: float, power: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw coloured noise.

    Arguments
    ---------
    num_samples, sample_rate : int
        How long it is, and samples a second.
    slope, power, rng
        See `noise_spectrum`.

    Returns
    -------
    numpy.ndarray
        float32, shape (num_samples,).
    """
    length = fast_length(num_samples)
    frequency_hz = np.arange(length // 2 + 1, dtype=np.float32) * np.float32(sample_rate / length)
    spectrum = noise_spectrum(frequency_hz, length, slope, power, rng)
    return np.fft.irfft(spectrum, length)[:num_samples].astype(np.float32)


def noise_spectrum(
    frequency_hz: np.ndarray, length: int, slope: float, power: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the spectrum of coloured noise.

    Arguments
    ---------
    frequency_hz : numpy.ndarray
        Of each bin of a real Fourier transform, float32, shape (length // 2 + 1,).
    length : int
        Samples of the transform.
    slope : float
        The power spectrum falls as 1 / f ** slope (0 white, 1 pink, 2 brown).
    power : float
        Mean square of the noise over `length` samples.
    rng : numpy.random.Generator
        Where the noise comes from.

    Returns
    -------
    numpy.ndarray
        complex64, shape (length // 2 + 1,).
    """
    noise = rng.standard_normal(2 * frequency_hz.size, dtype=np.float32).view(np.complex64)
    noise *= np.maximum(frequency_hz, 50.0) ** (-slope / 2)
    noise[0] = 0
    # Parseval: each bin of a real signal stands for two of its full spectrum.
    present = 2 * float(np.sum(np.square(np.abs(noise)))) / length**2
    return noise * np.float32(np.sqrt(power / present))


def _room_response(conditions: Conditions, rng: np.random.Generator) -> np.ndarray:
    """Direct sound at time 0, then exponentially decaying noise from the first reflection on."""
    first_s = rng.uniform(0.002, 0.01)
    time_s = np.arange(round(conditions.reverberation_time_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    # 60 dB in one reverberation time: amplitude falls by exp(-ln(1000) t / T).
    echo = rng.standard_normal(time_s.size) * np.exp(
        -np.log(1000.0) * time_s / conditions.reverberation_time_s
    )
    echo[time_s < first_s] = 0
    energy = 10 ** (-conditions.direct_to_reverberant_db / 10)
    echo *= np.sqrt(energy / np.sum(np.square(echo)))
    echo[0] = 1.0
    return echo.astype(np.float32)


def utterance_stream(seed: int, speaker_id: int, index: int) -> np.random.Generator:
    """Return the random stream of an utterance's recording conditions."""
    return stream(seed, Purpose.ACOUSTICS, speaker_id, index)
