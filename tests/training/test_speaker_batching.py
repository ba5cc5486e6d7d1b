"""Batches of speakers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.training.batching import ShardedBatchSampler
from sb_alexa.training.speaker_batching import SpeakerBatchPlan

COUNTS = st.lists(st.integers(3, 20), min_size=4, max_size=12)


def speakers_of(counts: list[int]) -> tuple[str, ...]:
    """Utterances of the speakers in turn: speaker 0, 1, 2..., 0, 1..."""
    rounds = range(max(counts))
    return tuple(str(s) for turn in rounds for s, count in enumerate(counts) if turn < count)


def make_plan(counts: list[int], **changes: Any) -> SpeakerBatchPlan:
    arguments = {"num_speakers": 4, "utterances_per_speaker": 3, **changes}
    return SpeakerBatchPlan(speakers_of(counts), **arguments)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, epoch=st.integers(1, 4), limit=st.none() | st.integers(3, 9))
def test_a_batch_holds_different_utterances_of_different_speakers(
    counts: list[int], epoch: int, limit: int | None
) -> None:
    plan = make_plan(counts, max_utterances_per_speaker=limit)
    batches = plan.batches(epoch)
    for batch in batches:
        groups = [[plan.speakers[row] for row in batch[at : at + 3]] for at in range(0, 12, 3)]
        assert len(batch) == 12
        assert all(len(set(group)) == 1 for group in groups), "the rows of a speaker are apart"
        assert len({group[0] for group in groups}) == 4
    rows = [row for batch in batches for row in batch]
    assert len(set(rows)) == len(rows), "an utterance comes twice in an epoch"
    if limit is not None:
        assert max(Counter(plan.speakers[row] for row in rows).values()) <= limit


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS)
def test_no_plan_has_more_batches(counts: list[int]) -> None:
    plan = make_plan(counts)
    number = len(plan.batches(1))
    assert number == plan.num_batches >= 1
    # One more batch would need more groups than speakers have, each at most once in a batch.
    assert sum(min(count // 3, number + 1) for count in counts) < 4 * (number + 1)


def test_nothing_is_left_out_when_groups_fill_all_batches() -> None:
    plan = make_plan([9] * 8)
    assert plan.num_batches == 6
    assert sorted(row for batch in plan.batches(2) for row in batch) == list(range(72))


def test_what_is_left_over_changes_with_the_epoch() -> None:
    plan = make_plan([4] * 4)
    used = [frozenset(row for batch in plan.batches(epoch) for row in batch) for epoch in range(30)]
    assert frozenset().union(*used) == frozenset(range(16))


def test_speakers_meet_others_in_every_batch_and_epoch() -> None:
    plan = make_plan([12] * 12)
    companies = [
        frozenset(plan.speakers[row] for row in batch)
        for epoch in range(1, 4)
        for batch in plan.batches(epoch)
    ]
    assert len(companies) == 36
    assert len(set(companies)) > 30


def test_a_limit_makes_speakers_come_equally_often() -> None:
    counts = [300] + [9] * 7
    plan = make_plan(counts)
    batches = plan.batches(1)
    assert len(batches) == 7
    assert all("0" in {plan.speakers[row] for row in batch} for batch in batches)
    plan = make_plan(counts, max_utterances_per_speaker=11)
    rows = [row for batch in plan.batches(1) for row in batch]
    assert set(Counter(plan.speakers[row] for row in rows).values()) == {9}


@settings(max_examples=25, deadline=None)
@given(counts=COUNTS, size=st.integers(1, 12))
def test_every_process_has_a_part_of_every_batch(counts: list[int], size: int) -> None:
    plan = make_plan(counts, num_processes=size)
    shards = [list(ShardedBatchSampler(plan, rank=r, num_processes=size)) for r in range(size)]
    whole = make_plan(counts).batches(1)
    for parts, batch in zip(zip(*shards, strict=True), whole, strict=True):
        assert all(parts)
        assert sorted(row for part in parts for row in part) == sorted(batch)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    plan = make_plan([12] * 6)
    assert plan.batches(1) == make_plan([12] * 6).batches(1)
    assert plan.batches(1) != plan.batches(2)
    assert plan.batches(1) != make_plan([12] * 6, seed=1).batches(1)


def test_the_fingerprint_covers_all_but_the_processes() -> None:
    plan = make_plan([12] * 6)
    assert plan.fingerprint() == make_plan([12] * 6, num_processes=5).fingerprint()
    changed = [
        make_plan([12] * 5 + [13]),
        make_plan([12] * 6, seed=1),
        make_plan([12] * 6, num_speakers=3),
        make_plan([12] * 6, utterances_per_speaker=2),
        make_plan([12] * 6, max_utterances_per_speaker=12),
    ]
    assert len({plan.fingerprint(), *(one.fingerprint() for one in changed)}) == 6


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="num_speakers=1 must be at least 2"):
        make_plan([9] * 6, num_speakers=1)
    with pytest.raises(ValueError, match="utterances_per_speaker=1 must be at least 2"):
        make_plan([9] * 6, utterances_per_speaker=1)
    with pytest.raises(ValueError, match="max_utterances_per_speaker=2 must be null or at least"):
        make_plan([9] * 6, max_utterances_per_speaker=2)
    with pytest.raises(ValueError, match="13 processes cannot share a batch of 4 speakers"):
        make_plan([9] * 6, num_processes=13)
    with pytest.raises(ValueError, match="there are 3 speakers, fewer than num_speakers=4"):
        make_plan([9] * 3)
    with pytest.raises(
        ValueError, match=r"2 speakers have fewer than .*=3 utterances: 1 \(2\), 3 \(1\); lower it"
    ):
        make_plan([9, 2, 9, 1, 9])
