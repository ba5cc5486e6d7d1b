"""Plans of mixtures: who speaks when."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.mixture_plan import MixturePlan, draw_plan
from sb_alexa.corpora.mixture_settings import MixtureSettings
from sb_alexa.multitalker.arrangement import arrange_turns, overlaps_at_most
from sb_alexa.turn import Word
from tests.corpora.mixture_cases import plan_of, utterances_lasting


def draw(utterances: list[Utterance], index: int = 0, **arguments: object) -> MixturePlan:
    settings = MixtureSettings(**arguments)  # type: ignore[arg-type]
    return draw_plan(utterances, settings, seed=0, epoch=1, index=index)


@settings(max_examples=100, deadline=None)
@given(
    said=st.lists(st.tuples(st.floats(0.1, 20.0), st.sampled_from("abcd")), min_size=1, max_size=9),
    max_turns=st.integers(1, 7),
    gap_share=st.sampled_from([0.0, 0.3]),
    index=st.integers(0, 10**6),
)
def test_any_mixture_has_room_on_two_channels(
    said: list[tuple[float, str]], max_turns: int, gap_share: float, index: int
) -> None:
    utterances = utterances_lasting([one[0] for one in said], [one[1] for one in said])
    plan = draw(utterances, index, max_turns=max_turns, gap_share=gap_share)
    turns = plan.turns()
    assert 1 <= len(turns) <= max_turns
    assert turns[0].start_s == 0 and plan.duration_s == max(turn.end_s for turn in turns) <= 30
    assert len({one.utterance.id for one in plan.planned}) == len(turns), "an utterance came twice"
    assert overlaps_at_most(turns, 2)
    assert arrange_turns(turns).turns == turns
    for place, turn in enumerate(turns):
        assert (turn.start_s * 1000).is_integer() or abs(
            turn.start_s * 1000 - round(turn.start_s * 1000)
        ) < 1e-6
        for other in turns[:place]:
            assert other.start_s < turn.start_s
            assert turn.speaker != other.speaker or not turn.overlaps(other)
    seats = {(one.utterance.speaker, one.seat) for one in plan.planned}
    assert len(seats) == len({speaker for speaker, _ in seats}) == len({seat for _, seat in seats})


def test_a_plan_is_a_function_of_seed_epoch_and_index() -> None:
    utterances = utterances_lasting([2.0 + 0.1 * place for place in range(40)])
    keys = [(0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3)]

    def all_plans() -> list[MixturePlan]:
        return [
            draw_plan(utterances, MixtureSettings(), seed=seed, epoch=epoch, index=index)
            for seed, epoch, index in keys
        ]

    assert all_plans() == all_plans()
    assert len({plan.planned for plan in all_plans()}) == len({p.id for p in all_plans()}) == 4


def test_three_at_once_are_drawn_again_without_losing_a_turn() -> None:
    utterances = utterances_lasting([1.5 + 0.2 * (place % 9) for place in range(60)])
    plans = [draw(utterances, index) for index in range(1500)]
    counts = Counter(len(plan.planned) for plan in plans)
    # 300 expected of each number; the standard deviation is 15.5.
    assert set(counts) == {1, 2, 3, 4, 5} and all(240 < n < 360 for n in counts.values()), counts
    delays_s = [
        (after.start_s - before.start_s, before.utterance.duration_s)
        for plan in plans
        for before, after in zip(plan.planned, plan.planned[1:], strict=False)
    ]
    allowed = [0.5 <= delay_s <= longest_s + 0.001 for delay_s, longest_s in delays_s]
    assert sum(allowed) > 0.995 * len(allowed), "gaps are the last resort"
    levels_db = [one.level_db for plan in plans for one in plan.planned[1:]]
    assert -5 <= min(levels_db) < -4.9 and 4.9 < max(levels_db) <= 5
    assert {plan.planned[0].level_db for plan in plans} == {0.0}


def test_what_cannot_overlap_waits() -> None:
    # Whoever follows the short one speaks while both others do, whatever the delay.
    utterances = utterances_lasting([20.0, 0.6, 0.6, 0.6])
    plans = [draw(utterances, index, max_turns=4, max_duration_s=60.0) for index in range(40)]
    assert all(overlaps_at_most(plan.turns(), 2) for plan in plans)
    assert max(len(plan.planned) for plan in plans) == 4
    alone = [draw(utterances_lasting([2.0, 2.0], ["a", "a"]), index) for index in range(20)]
    gaps = [plan.planned[1].start_s - 2.0 for plan in alone if len(plan.planned) == 2]
    assert gaps and all(0.1 <= gap <= 1.001 for gap in gaps)


def test_gap_share_one_leaves_no_overlap() -> None:
    utterances = utterances_lasting([1.0, 1.5, 2.0, 2.5, 3.0])
    for index in range(50):
        turns = draw(utterances, index, gap_share=1.0, gap_s=[0.2, 0.4]).turns()
        for before, after in zip(turns, turns[1:], strict=False):
            assert 0.2 <= after.start_s - before.end_s + 1e-9 <= 0.402


def test_long_mixtures_lose_their_last_turns() -> None:
    utterances = utterances_lasting([12.0 + place for place in range(6)])
    free = [draw(utterances, index, max_duration_s=1e6) for index in range(60)]
    limited = [draw(utterances, index) for index in range(60)]
    assert all(plan.duration_s <= 30 for plan in limited)
    assert any(len(b.planned) < len(a.planned) for a, b in zip(free, limited, strict=True))
    assert all(a.planned[: len(b.planned)] == b.planned for a, b in zip(free, limited, strict=True))


def test_what_cannot_be_mixed_is_named() -> None:
    with pytest.raises(ValueError, match=r"speaker0-1-0000 lasts 31.0 s, longer than a whole"):
        draw(utterances_lasting([31.0]))
    with pytest.raises(ValueError, match="no utterances"):
        draw([])


def test_a_plan_is_drawn_within_a_millisecond() -> None:
    utterances = utterances_lasting([2.0 + place % 14 for place in range(5000)])
    started = time.process_time()
    for index in range(300):
        draw(utterances, index)
    assert (time.process_time() - started) / 300 < 1e-3


class KnownWords:
    """Times of one utterance's words."""

    def words(self, utterance: Utterance) -> tuple[Word, ...]:
        known = {"a-1-0000": (Word("GO", 0.25, 0.5), Word("UP", 0.5, 1.5))}
        return known.get(utterance.id, ())


def test_words_move_with_their_turn_and_may_bound_it() -> None:
    first, second = utterances_lasting([2.0, 2.0], ["a", "b"])
    plan = plan_of((second, 0.0, 0.0), (first, 1.0, 0.0))
    plain, known = plan.turns(KnownWords())
    assert (plain.words, known.start_s, known.end_s) == ((), 1.0, 3.0)
    assert known.words == (Word("GO", 1.25, 1.5), Word("UP", 1.5, 2.5))
    plain, known = plan.turns(KnownWords(), trimmed=True)
    assert (plain.start_s, plain.end_s) == (0.0, 2.0)
    assert (known.start_s, known.end_s) == (1.25, 2.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_turns": 0}, "max_turns=0"),
        ({"max_duration_s": 0.0}, "max_duration_s=0.0"),
        ({"min_delay_s": 0.0}, "min_delay_s=0.0"),
        ({"gap_share": 1.5}, "gap_share=1.5 must lie between 0 and 1"),
        ({"gap_s": (1.0, 0.5)}, "gap_s=.* the smaller one first"),
        ({"gap_s": (-1.0, 0.5)}, "must not begin below 0"),
        ({"energy_ratio_db": (5.0,)}, "energy_ratio_db=.* two numbers"),
        ({"noise_snr_db": (0.0, float("inf"))}, "noise_snr_db="),
    ],
)
def test_settings_are_checked(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixtureSettings(**arguments)  # type: ignore[arg-type]
