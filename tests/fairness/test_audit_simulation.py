from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sb_alexa.fairness.audit_simulation import (
    SpeechCorpus,
    measure_coverage,
    measure_false_discoveries,
)


def test_corpora_are_what_they_say() -> None:
    corpus = SpeechCorpus(error_rate=0.1, group_ratios=(1.0, 2.0), speaker_variation=0.4)
    for one in (corpus, replace(corpus, is_lognormal=True)):
        drawn = one.draw(np.random.default_rng(0), 4000)
        cells = drawn.cells()
        rates = cells.errors / cells.words
        second = cells.columns["group"].codes == 1
        assert rates[second].mean() == pytest.approx(0.2, rel=0.03)
        assert rates[~second].mean() == pytest.approx(0.1, rel=0.03)
        # Speakers, and about 450 words of each.
        assert rates[second].std() / rates[second].mean() == pytest.approx(0.42, abs=0.04)
        assert drawn.words.mean() == pytest.approx(18, rel=0.02)
        assert one.mean_error_rate == pytest.approx(0.15)


def test_without_variation_errors_are_poisson() -> None:
    corpus = SpeechCorpus(speaker_variation=0.0, utterance_variation=0.0, group_ratios=(1.0,))
    drawn = corpus.draw(np.random.default_rng(1), 500)
    expected = 0.08 * drawn.words
    dispersion = ((drawn.errors - expected) ** 2 / expected).mean()
    assert dispersion == pytest.approx(1.0, abs=0.05)


def test_intervals_of_speakers_cover_and_those_of_utterances_do_not() -> None:
    found = measure_coverage(
        SpeechCorpus(), num_speakers=(40, 80), num_corpora=80, num_samples=200, seed=1
    )
    for statistic in ("overall", "group", "gap_points", "ratio"):
        assert 90 <= found["studentized", statistic].percent <= 99
        assert found["utterances", statistic].percent < 80
    assert ("percentile", "ratio") not in found
    assert found["studentized", "overall"].number == 80


def test_noise_is_not_reported() -> None:
    calls: list[None] = []
    found = measure_false_discoveries(
        SpeechCorpus(utterances_per_speaker=8),
        num_speakers=160,
        num_groups=8,
        num_corpora=60,
        num_samples=100,
        on_corpus=lambda: calls.append(None),
    )
    assert found["holm"].hits <= 5 and found["gap"].hits <= 5
    assert found["uncorrected"].percent > 25 and found["naive_gap"].percent > 15
    assert len(calls) == 60


def test_same_seed_same_figures() -> None:
    def measure(seed: int) -> dict:
        return measure_coverage(
            SpeechCorpus(utterances_per_speaker=4),
            num_speakers=(10, 20),
            num_corpora=20,
            num_samples=50,
            level=0.5,
            seed=seed,
            with_utterances=False,
        )

    assert measure(0) == measure(0) != measure(1)
    assert not any(method == "utterances" for method, _ in measure(0))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        SpeechCorpus(error_rate=0.0)
    with pytest.raises(ValueError, match="a word at least"):
        SpeechCorpus(words_per_utterance=0)
    with pytest.raises(ValueError, match="2 groups need at least 4 speakers, got 3"):
        SpeechCorpus().draw(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match="a gap needs two groups"):
        measure_coverage(SpeechCorpus(group_ratios=(1.0,)), num_speakers=(10, 20))
