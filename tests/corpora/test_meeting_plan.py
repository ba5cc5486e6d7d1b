from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.meeting_plan import MeetingSizes, plan_meetings
from sb_alexa.corpora.session_timeline import TIMINGS
from sb_alexa.corpora.text_files import CorpusError

SIZES = MeetingSizes(
    tuple(TIMINGS), num_sessions=4, minutes_per_session=0.5, speakers_per_session=3, seed=0
)


def _utterances(*num_of_reader: int, shortest_s: float = 3.0) -> list[Utterance]:
    """So many utterances of each reader, up to 2.7 s longer than the shortest."""
    return [
        Utterance(
            f"{reader}-1-{n:03d}", shortest_s + 0.3 * (n % 10), f"{n}.flac", str(reader), "GO"
        )
        for reader, num in enumerate(num_of_reader)
        for n in range(num)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 40), min_size=2, max_size=6))
def test_plans_keep_the_rules_or_say_how_many_would(seed: int, num_of_reader: list[int]) -> None:
    utterances = _utterances(*num_of_reader)
    sizes = replace(SIZES, seed=seed)
    try:
        plans = plan_meetings(utterances, sizes)
    except CorpusError as error:
        allowed = int(str(error).partition("they allow ")[2].split()[0])
        assert allowed < sizes.num_sessions
        if not allowed:
            return
        sizes = replace(sizes, num_sessions=allowed)
        plans = plan_meetings(utterances, sizes)
    assert [session.name for session in plans] == [
        f"{condition}-session{number}"
        for number in range(sizes.num_sessions)
        for condition in TIMINGS
    ]
    number_of: dict[str, int] = {}
    for session, turns in plans.items():
        assert len({turn.id for turn in turns}) == len(turns) >= 4
        assert all(a.speaker != b.speaker for a, b in zip(turns, turns[1:], strict=False))
        assert len({turn.speaker for turn in turns}) <= 3
        assert all(
            number_of.setdefault(turn.id, session.number) == session.number for turn in turns
        )


def test_an_utterance_is_used_again_only_after_all_others_of_its_reader() -> None:
    plans = plan_meetings(_utterances(*[40] * 5), SIZES)
    most = 0
    for number in range(SIZES.num_sessions):
        mine = [turns for session, turns in plans.items() if session.number == number]
        uses: dict[str, Counter[str]] = defaultdict(Counter)
        for turn in (turn for turns in mine for turn in turns):
            uses[turn.speaker][turn.id] += 1
        for counts in uses.values():
            # 5 readers take part in 12 places: 13 utterances or more are there for each.
            assert max(counts.values()) == 1 or len(counts) >= 13
            assert max(counts.values()) - min(counts.values()) <= 1
            most = max(most, *counts.values())
    assert most == 2


def test_nothing_is_used_twice_where_there_is_enough() -> None:
    plans = plan_meetings(_utterances(*[200] * 5), SIZES)
    uses = Counter(turn.id for turns in plans.values() for turn in turns)
    assert set(uses.values()) == {1} and len(uses) > 4 * 6 * 5


def test_all_readers_take_part_equally_often() -> None:
    plans = plan_meetings(_utterances(*[60] * 6), SIZES)
    present = [
        {turn.speaker for session, turns in plans.items() if session.number == k for turn in turns}
        for k in range(SIZES.num_sessions)
    ]
    # Four numbers with three readers each make twelve places for six readers.
    assert Counter(who for readers in present for who in readers) == dict.fromkeys("012345", 2)


def test_scarce_speech_is_used_up_rather_than_missed() -> None:
    """Of 5, 3 and 2 utterances of 5 s all ten must be said, and some orders get stuck."""
    utterances = [replace(one, duration_s=5.0) for one in _utterances(5, 3, 2)]
    for seed in range(20):
        sizes = MeetingSizes(("0S",), 1, 0.87, 3, seed)
        ((_, turns),) = plan_meetings(utterances, sizes).items()
        assert len(turns) == 10


@pytest.mark.parametrize("condition", TIMINGS)
def test_sessions_are_about_as_long_as_asked_for(condition: str) -> None:
    sizes = MeetingSizes((condition,), 30, 1.0, 4, seed=0)
    per_second, per_turn_s = TIMINGS[condition].mean_step
    plans = plan_meetings(_utterances(*[200] * 8), sizes)
    lengths_s = [
        sum(per_second * turn.duration_s + per_turn_s for turn in turns) for turns in plans.values()
    ]
    assert sum(lengths_s) / 30 == pytest.approx(60, abs=1.5)
    assert all(55 < length_s < 65 for length_s in lengths_s)


def test_the_speech_that_there_is_is_named() -> None:
    message = (
        r"20 utterances \(1.4 min\) of 2 readers are too little speech for num_sessions=4 of "
        r"minutes_per_session=0.5, each with utterances of its own; they allow 2 sessions of each "
        r"condition: ask for num_sessions=2, shorter sessions, or give more speech"
    )
    with pytest.raises(CorpusError, match=message):
        plan_meetings(_utterances(10, 10), SIZES)
