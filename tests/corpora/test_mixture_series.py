"""The endless series of mixtures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sb_alexa.corpora.mixture_series import MixtureSeries
from sb_alexa.corpora.mixture_settings import MixtureSettings
from tests.corpora.mixture_cases import utterances_lasting

SAID = utterances_lasting([1.0 + 0.3 * place for place in range(12)])


def test_durations_are_those_of_the_plans_whatever_was_asked_before() -> None:
    series = MixtureSeries(SAID, num_mixtures=20, seed=3)
    second, first = series.of_epoch(2), series.of_epoch(1)
    assert first != second
    assert second == MixtureSeries(SAID, num_mixtures=20, seed=3).of_epoch(2)
    assert first == tuple(series.plan(epoch=1, index=n).duration_s for n in range(20))
    with pytest.raises(IndexError, match="mixture 20 does not exist"):
        series.plan(epoch=1, index=20)


def test_fingerprint_knows_what_decides_the_mixtures() -> None:
    longer = [replace(SAID[0], duration_s=9.0), *SAID[1:]]
    prints = {
        MixtureSeries(SAID, num_mixtures=20).fingerprint(),
        MixtureSeries(SAID, num_mixtures=21).fingerprint(),
        MixtureSeries(SAID, num_mixtures=20, seed=1).fingerprint(),
        MixtureSeries(longer, num_mixtures=20).fingerprint(),
        MixtureSeries(SAID, num_mixtures=20, settings=MixtureSettings(max_turns=2)).fingerprint(),
    }
    assert len(prints) == 5
    assert MixtureSeries(SAID, num_mixtures=20).fingerprint() in prints


def test_unusable_utterances_are_named_before_training() -> None:
    with pytest.raises(ValueError, match=r"1 utterances are longer .*speaker0-1-0000 \(40.0 s\)"):
        MixtureSeries([replace(SAID[0], duration_s=40.0), *SAID[1:]], num_mixtures=1)
    with pytest.raises(ValueError, match=r"1 utterances have no words: speaker3-1-0003"):
        MixtureSeries([*SAID[:3], replace(SAID[3], text=" ")], num_mixtures=1)
    with pytest.raises(ValueError, match="no utterances"):
        MixtureSeries([], num_mixtures=1)
    with pytest.raises(ValueError, match="num_mixtures=0"):
        MixtureSeries(SAID, num_mixtures=0)
