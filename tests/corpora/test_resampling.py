from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.corpora.resampling import fast_length, resample


def test_fast_length_is_the_smallest() -> None:
    smooth = sorted(
        2**a * 3**b * 5**c for a in range(12) for b in range(8) for c in range(6) if a + b + c
    )
    for num_samples in range(2, 2000):
        assert fast_length(num_samples) == next(n for n in smooth if n >= num_samples)


@pytest.mark.parametrize(("rate_hz", "new_rate_hz"), [(22050, 16000), (16000, 22050)])
@pytest.mark.parametrize("frequency_hz", [100.0, 3000.0, 7000.0])
def test_a_tone_stays_where_it_is(rate_hz: int, new_rate_hz: int, frequency_hz: float) -> None:
    def tone(rate: int) -> np.ndarray:
        time_s = np.arange(rate // 2) / rate
        # A burst around 0.25 s: any delay would move its envelope.
        return np.sin(2 * np.pi * frequency_hz * time_s) * np.exp(-(((time_s - 0.25) / 0.05) ** 2))

    moved = resample(tone(rate_hz), rate_hz=rate_hz, new_rate_hz=new_rate_hz)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, tone(new_rate_hz), atol=2e-5)


def test_nothing_aliases() -> None:
    time_s = np.arange(22050) / 22050
    too_high = np.sin(2 * np.pi * 9000 * time_s) * np.hanning(22050)
    assert np.abs(resample(too_high, rate_hz=22050, new_rate_hz=16000)).max() < 1e-4


@pytest.mark.parametrize("num_samples", [0, 1, 440, 441, 442])
def test_lengths(num_samples: int) -> None:
    moved = resample(np.ones(num_samples), rate_hz=22050, new_rate_hz=16000)
    assert moved.shape == (round(num_samples * 320 / 441),)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="must be > 0 Hz, got 0"):
        resample(np.zeros(3), rate_hz=0, new_rate_hz=16000)
    with pytest.raises(ValueError, match=r"got \(2, 3\)"):
        resample(np.zeros((2, 3)), rate_hz=8000, new_rate_hz=16000)
