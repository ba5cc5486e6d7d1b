from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.corpora.utterance_groups import count_session, overlap_seconds, utterance_groups
from sb_alexa.multitalker.arrangement import turns_in_order
from sb_alexa.turn import Turn

# In eighths of a second: sums and differences are exact.
TURNS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 16), st.sampled_from("abc")), max_size=10
).map(lambda spans: [Turn(who, s / 8, (s + length) / 8, "A") for s, length, who in spans])


def active(turns: list[Turn], eighth: int) -> int:
    """How many talk during an eighth of a second."""
    return sum(turn.start_s <= eighth / 8 < turn.end_s for turn in turns)


@given(TURNS)
def test_groups_by_looking_for_silence(turns: list[Turn]) -> None:
    groups = utterance_groups(turns)
    assert sum((list(group) for group in groups), []) == list(turns_in_order(turns))
    for before, after in zip(groups, groups[1:], strict=False):
        assert max(turn.end_s for turn in before) < after[0].start_s
    for group in groups:
        first, last = group[0].start_s, max(turn.end_s for turn in group)
        assert all(active(turns, eighth) for eighth in range(int(first * 8), int(last * 8)))


@given(TURNS)
def test_overlap_by_counting_eighths(turns: list[Turn]) -> None:
    counts = [active(turns, eighth) for eighth in range(80)]
    assert overlap_seconds(turns) == sum(count for count in counts if count > 1) / 8


def test_counts_add_up() -> None:
    spans = [(0.0, 2.0), (1.0, 3.0), (1.5, 1.75), (4.0, 5.0)]
    one = count_session([Turn(str(i), *span, "A") for i, span in enumerate(spans)], 6.0)
    assert (one.num_groups, one.num_turns, one.num_groups_beyond_two) == (2, 4, 1)
    both = one + one
    assert (both.num_sessions, both.audio_s) == (2, 12.0)
    assert both.overlap_ratio == one.overlap_ratio == pytest.approx(2.25 / 5.25)
    assert count_session([], 1.0).overlap_ratio == 0.0
