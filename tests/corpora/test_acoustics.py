from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sb_alexa.corpora.acoustics import Conditions, draw_conditions, record, utterance_stream

QUIET = Conditions(
    lead_s=0.2,
    tail_s=0.3,
    reverberation_time_s=0.2,
    direct_to_reverberant_db=60.0,
    bandwidth_hz=8000.0,
    noise_slope=1.0,
    snr_db=100.0,
    level_dbfs=-26.0,
)


def _burst(frequency_hz: float = 1000.0) -> np.ndarray:
    time_s = np.arange(16000) / 16000
    envelope = np.exp(-(((time_s - 0.5) / 0.1) ** 2))
    return (0.3 * envelope * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def test_speech_is_delayed_by_the_lead_and_nothing_else() -> None:
    recorded = record(_burst(), QUIET, np.random.default_rng(0))
    assert recorded.shape == (3200 + 16000 + 4800,) and recorded.dtype == np.float32
    expected = _burst() * 10 ** (-26 / 20) / _rms(_burst())
    np.testing.assert_allclose(recorded[3200:19200], expected, atol=0.01)
    assert _rms(recorded[:3000]) < 1e-4 * _rms(recorded)


def test_level_and_noise_are_what_was_asked_for() -> None:
    for slope in (0.0, 1.0, 2.0):
        noisy = record(
            _burst(), replace(QUIET, snr_db=10.0, noise_slope=slope), np.random.default_rng(0)
        )
        clean = record(_burst(), QUIET, np.random.default_rng(0))
        assert 20 * np.log10(_rms(clean[3200:19200])) == pytest.approx(-26, abs=0.2)
        snr_db = 20 * np.log10(_rms(clean[3200:19200]) / _rms(noisy - clean))
        assert snr_db == pytest.approx(10, abs=1.0)


def test_the_echo_decays_by_sixty_decibels() -> None:
    click = np.zeros(8000, dtype=np.float32)
    click[100] = 0.9
    echoing = replace(
        QUIET, reverberation_time_s=0.4, direct_to_reverberant_db=3.0, tail_s=0.5, lead_s=0.0
    )
    power = np.square(record(click, echoing, np.random.default_rng(0)), dtype=np.float64)
    echo = power[100 + 200 : 100 + 6400]
    early, late = echo[:400].mean(), echo[-400:].mean()
    seconds = (echo.size - 400) / 16000
    assert 10 * np.log10(early / late) == pytest.approx(60 * seconds / 0.4, abs=4)
    ratio = power[90:111].sum() / power[111:].sum()
    assert 10 * np.log10(ratio) == pytest.approx(3, abs=0.3)


def test_a_narrow_band_loses_its_top() -> None:
    narrow = replace(QUIET, bandwidth_hz=3200.0)
    high, low = (record(_burst(f), narrow, np.random.default_rng(0)) for f in (5000.0, 1000.0))
    assert _rms(high) < 1e-3 * _rms(low)


def test_never_clipped_even_when_loud() -> None:
    loud = record(_burst(), replace(QUIET, level_dbfs=0.0), np.random.default_rng(0))
    assert np.abs(loud).max() == pytest.approx(0.95, abs=1e-3)


def test_silence_stays_finite() -> None:
    recorded = record(np.zeros(1600, dtype=np.float32), QUIET, np.random.default_rng(0))
    assert np.isfinite(recorded).all()


def test_every_utterance_has_its_own_room() -> None:
    drawn = {
        draw_conditions(utterance_stream(0, speaker, index))
        for speaker in range(5)
        for index in range(5)
    }
    assert len({conditions.reverberation_time_s for conditions in drawn}) == 25
    assert draw_conditions(utterance_stream(0, 1, 2)) in drawn
