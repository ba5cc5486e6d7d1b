"""Sound of simulated mixtures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.mixture_plan import MixturePlan, draw_plan
from sb_alexa.corpora.mixture_settings import MixtureSettings
from sb_alexa.corpora.mixtures import render
from tests.corpora.mixture_cases import (
    plan_of,
    reader_of,
    utterances_lasting,
    write_utterances,
)

RATE = 16_000
ANNA, BEN = utterances_lasting([1.0, 0.75], ["a", "b"])


def noise(seconds: float, amplitude: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (amplitude * random.standard_normal(round(seconds * rate))).astype(np.float32)


SOUNDS = {ANNA.id: noise(1.0, 0.05), BEN.id: noise(0.75, 0.01, 1)}
READ = reader_of(SOUNDS)


class OneRoom:
    """The same response for every seat, or one for each."""

    def __init__(self, *responses: np.ndarray) -> None:
        self.responses = responses

    def response(self, room: int, seat: int, sample_rate: int) -> np.ndarray:
        return self.responses[seat % len(self.responses)]


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def decibel(ratio: float) -> float:
    return float(10 * np.log10(ratio))


def test_turns_lie_at_their_samples_at_their_levels() -> None:
    mixture = render(plan_of((ANNA, 0.0, 0.0), (BEN, 0.5, -3.0)), READ)
    assert mixture.samples.dtype == np.float32 and mixture.samples.shape == (20_000,)
    expected = np.zeros(20_000)
    expected[:16_000] = SOUNDS[ANNA.id]
    louder = np.sqrt(power(SOUNDS[ANNA.id]) / power(SOUNDS[BEN.id]) * 10**-0.3)
    expected[8_000:] += louder * SOUNDS[BEN.id]
    np.testing.assert_allclose(mixture.samples, expected, atol=1e-6)
    assert [(turn.speaker, turn.start_s, turn.end_s) for turn in mixture.turns] == [
        ("a", 0.0, 1.0),
        ("b", 0.5, 1.25),
    ]


def test_levels_hold_after_the_room() -> None:
    random = np.random.default_rng(4)
    near = np.concatenate([[1.0], 0.05 * random.standard_normal(800)]).astype(np.float32)
    far = np.concatenate([[0.1], 0.05 * random.standard_normal(800)]).astype(np.float32)
    plan = plan_of((ANNA, 0.0, 0.0), (BEN, 1.5, 4.0))
    samples = render(plan, READ, OneRoom(near, far)).samples
    first, second = power(samples[:16_000]), power(samples[24_000:36_000])
    assert decibel(second / first) == pytest.approx(4.0, abs=1e-3)
    assert first == pytest.approx(power(SOUNDS[ANNA.id]), rel=1e-4), "the first keeps its level"
    echo = samples[16_000:16_800]
    assert power(echo) > 0 and not samples[16_801:24_000].any()


def test_a_room_delays_nothing() -> None:
    click = np.zeros(16_000, dtype=np.float32)
    click[5_000] = 0.5
    clicks = {ANNA.id: click, BEN.id: click[:12_000]}
    response = np.array([1.0, 0.0, 0.0, 0.4, -0.2], dtype=np.float32)
    plan = plan_of((ANNA, 0.0, 0.0), (BEN, 0.25, 0.0))
    samples = render(plan, reader_of(clicks), OneRoom(response)).samples
    assert set(np.argsort(np.abs(samples))[-2:].tolist()) == {5_000, 9_000}
    direct = samples[5_000]
    np.testing.assert_allclose(samples[5_000:5_005] / direct, response, atol=1e-6)


def test_loud_mixtures_are_made_softer_as_a_whole() -> None:
    loud = {name: 40 * sound for name, sound in SOUNDS.items()}
    plan = plan_of((ANNA, 0.0, 0.0), (BEN, 0.5, 5.0))
    samples = render(plan, reader_of(loud)).samples
    soft = render(plan, READ).samples
    assert np.abs(samples).max() == pytest.approx(0.95, abs=1e-6)
    np.testing.assert_allclose(
        samples / np.abs(samples).max(), soft / np.abs(soft).max(), atol=1e-5
    )


def test_noise_has_its_level_and_belongs_to_the_mixture() -> None:
    turns = ((ANNA, 0.0, 0.0), (BEN, 1.5, 0.0))
    clean = render(plan_of(*turns), READ).samples
    plan = plan_of(*turns, noise_snr_db=10.0)
    noisy = render(plan, READ).samples
    assert decibel(power(clean[:16_000]) / power(noisy - clean)) == pytest.approx(10, abs=0.3)
    assert np.array_equal(noisy, render(plan, READ).samples)
    other = render(replace(plan, index=3), READ).samples
    assert not np.array_equal(noisy, other)


def test_stored_rates_are_converted_if_they_are_all_the_same(tmp_path: Path) -> None:
    slow = write_utterances(tmp_path / "slow", 2, rate=8_000)
    plan = plan_of((slow[0], 0.0, 0.0), (slow[1], 0.3, 0.0))
    mixture = render(plan)
    assert mixture.samples.size == round(plan.duration_s * RATE)
    assert power(mixture.samples) > 1e-4
    fast = write_utterances(tmp_path / "fast", 2)
    mixed = plan_of((slow[0], 0.0, 0.0), (fast[1], 0.3, 0.0))
    with pytest.raises(ValueError, match=r"0-1-0000.flac at 8000 Hz, .*1-1-0001.flac at 16000 Hz"):
        render(mixed)


def only(utterance: Utterance) -> MixturePlan:
    return plan_of((utterance, 0.0, 0.0))


def test_bad_audio_is_named(tmp_path: Path) -> None:
    utterance = write_utterances(tmp_path, 1)[0]
    assert render(only(utterance)).samples.any()
    with pytest.raises(AudioError, match=r"gone.flac: missing"):
        render(only(replace(utterance, path=str(tmp_path / "gone.flac"))))
    with pytest.raises(AudioError, match=r"0-1-0000.flac: lasts 0.6 s, and 0.9 s by the manifest"):
        render(only(replace(utterance, duration_s=0.9)))
    (tmp_path / "text.flac").write_text("not audio")
    with pytest.raises(AudioError, match=r"text.flac"):
        render(only(replace(utterance, path=str(tmp_path / "text.flac"))))
    with pytest.raises(AudioError, match="silent"):
        render(only(ANNA), reader_of({ANNA.id: np.zeros(16_000)}))


@pytest.mark.realdata
def test_real_speech_is_mixed(realdata: Path) -> None:
    files = sorted((realdata / "LibriSpeech" / "dev-clean").glob("*/*/*.flac"))
    said = [
        Utterance(path.stem, soundfile.info(path).duration, str(path), path.parts[-3], "GO")
        for path in files[:: len(files) // 12]
    ]
    assert len({utterance.speaker for utterance in said}) == 2
    response = np.concatenate([[1.0], 0.01 * np.random.default_rng(0).standard_normal(4000)])
    for index in range(4):
        plan = draw_plan(said, MixtureSettings(max_turns=3), seed=0, epoch=1, index=index)
        mixture = render(plan, rooms=OneRoom(response.astype(np.float32)))
        assert mixture.samples.size == round(plan.duration_s * RATE) <= 30 * RATE
        assert 1e-5 < power(mixture.samples) < 0.1 and np.isfinite(mixture.samples).all()
        for turn in mixture.turns:
            heard = mixture.samples[round(turn.start_s * RATE) : round(turn.end_s * RATE)]
            assert power(heard) > 1e-6
