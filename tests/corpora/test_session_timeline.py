from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.corpora.session_timeline import Timing, place_turns
from sb_alexa.corpora.utterance_groups import overlap_seconds
from sb_alexa.multitalker.arrangement import overlaps_at_most
from sb_alexa.turn import Turn

RATE = 16_000


def conversation(
    seed: int, num_turns: int, num_speakers: int, timing: Timing
) -> tuple[list[Turn], list[float]]:
    """Turns placed in a session, nobody speaking twice in a row, and their lengths."""
    rng = np.random.default_rng(seed)
    durations_s = [round(s * RATE) / RATE for s in rng.uniform(0.8, 6.0, num_turns)]
    speakers = [int(rng.integers(num_speakers))]
    for _ in range(num_turns - 1):
        speakers.append((speakers[-1] + int(rng.integers(1, num_speakers))) % num_speakers)
    names = [str(speaker) for speaker in speakers]
    starts_s = place_turns(names, durations_s, timing, rng, sample_rate_hz=RATE)
    turns = [
        Turn(name, start_s, start_s + duration_s, "")
        for name, start_s, duration_s in zip(names, starts_s, durations_s, strict=True)
    ]
    return turns, durations_s


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 25),
    st.integers(2, 5),
    st.sampled_from([(0.1, 0.5), (0.4, 0.8), (0.8, 1.0)]),
)
def test_never_three_at_once_nor_anybody_over_himself(
    seed: int, num_turns: int, num_speakers: int, wanted: tuple[float, float]
) -> None:
    turns, _ = conversation(seed, num_turns, num_speakers, Timing(*wanted, (0.1, 1.0)))
    starts_s = [turn.start_s for turn in turns]
    assert overlaps_at_most(turns, 2)
    for speaker in {turn.speaker for turn in turns}:
        assert overlaps_at_most([turn for turn in turns if turn.speaker == speaker], 1)
    assert starts_s == sorted(starts_s)
    assert all(round(start_s * RATE) / RATE == start_s for start_s in starts_s)
    assert all(b - a > 0.49 for a, b in zip(starts_s, starts_s[1:], strict=False))


@pytest.mark.parametrize("wanted", [(0.1, 0.5), (0.2, 0.65), (0.3, 0.74), (0.4, 0.78)])
def test_the_overlap_asked_for(wanted: tuple[float, float]) -> None:
    for seed in range(10):
        turns, durations_s = conversation(seed, 16, 8, Timing(*wanted, (0.1, 1.0)))
        assert overlap_seconds(turns) / sum(durations_s) == pytest.approx(wanted[0], abs=0.002)
        ends_s = np.maximum.accumulate([turn.end_s for turn in turns])
        overlapping = sum(t.start_s < e for t, e in zip(turns[1:], ends_s, strict=False))
        # A turn that cannot overlap starts after a silence instead.
        assert 0.6 * wanted[1] * 15 <= overlapping <= round(wanted[1] * 15)


@pytest.mark.parametrize("silence_s", [(2.9, 3.0), (0.1, 0.5)])
def test_silences_without_overlap(silence_s: tuple[float, float]) -> None:
    turns, _ = conversation(0, 30, 4, Timing(0.0, 0.0, silence_s))
    gaps = [b.start_s - a.end_s for a, b in zip(turns, turns[1:], strict=False)]
    assert turns[0].start_s == 0.5
    assert silence_s[0] - 1 / RATE <= min(gaps) < max(gaps) <= silence_s[1] + 1 / RATE
    assert max(gaps) - min(gaps) > 0.8 * (silence_s[1] - silence_s[0])


def test_what_cannot_be_reached_is_approached() -> None:
    turns, durations_s = conversation(1, 2, 2, Timing(0.9, 1.0, (0.1, 1.0)))
    ratio = overlap_seconds(turns) / sum(durations_s)
    # The second can begin half a second after the first, no sooner.
    assert turns[1].start_s == pytest.approx(1.0) and 0.3 < ratio < 0.9


def test_how_much_a_turn_lengthens_a_session() -> None:
    timing = Timing(0.3, 0.74, (0.1, 1.0))
    turns, durations_s = conversation(2, 300, 8, timing)
    per_second, per_turn_s = timing.mean_step
    expected_s = per_second * sum(durations_s) + per_turn_s * 300
    assert max(turn.end_s for turn in turns) == pytest.approx(expected_s, rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.5, (0.1, 1.0)), "overlap_ratio=1.0 must be 0 to less than 1"),
        ((0.1, 1.5, (0.1, 1.0)), "overlapping_share=1.5 must be within"),
        ((0.1, 0.0, (0.1, 1.0)), "both must be zero, or both above"),
        ((0.0, 0.5, (0.1, 1.0)), "both must be zero, or both above"),
        ((0.1, 0.5, (1.0, 0.1)), r"silence_s=\(1.0, 0.1\) must hold"),
        ((0.1, 0.5, (0.0, 0.1)), r"silence_s=\(0.0, 0.1\) must hold"),
    ],
)
def test_impossible_timings(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Timing(*arguments)
