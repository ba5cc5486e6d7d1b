"""Batch plans."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.training.batching import BatchPlan, ShardedBatchSampler

DURATIONS = st.lists(st.floats(0.1, 30.0), min_size=4, max_size=60)


@settings(max_examples=50, deadline=None)
@given(durations=DURATIONS, size=st.integers(1, 4), epoch=st.integers(1, 5))
def test_every_utterance_is_used_once_by_exactly_one_process(
    durations: list[float], size: int, epoch: int
) -> None:
    plan = BatchPlan(
        tuple(durations), batch_size=6, max_batch_seconds=60.0, num_processes=size, seed=1
    )
    shards = [ShardedBatchSampler(plan, rank=rank, num_processes=size) for rank in range(size)]
    for shard in shards:
        shard.set_epoch(epoch)
    batches = [list(shard) for shard in shards]
    assert len({len(part) for part in batches}) == 1, "a process has fewer steps than another"
    used = [index for part in batches for batch in part for index in batch]
    assert sorted(used) == list(range(len(durations)))


@settings(max_examples=50, deadline=None)
@given(durations=DURATIONS)
def test_batches_respect_their_limits(durations: list[float]) -> None:
    plan = BatchPlan(tuple(durations), batch_size=5, max_batch_seconds=40.0)
    for batch in plan.batches(1):
        padded = max(durations[index] for index in batch) * len(batch)
        assert len(batch) <= 5
        assert padded <= 40.0 or len(batch) == 1


def test_number_of_processes_does_not_change_the_global_batches() -> None:
    durations = tuple(1.0 + index % 7 for index in range(40))
    one = BatchPlan(durations, batch_size=8, num_processes=1).batches(3)
    four = BatchPlan(durations, batch_size=8, num_processes=4).batches(3)
    assert one == four


def test_epochs_differ_and_repeat() -> None:
    plan = BatchPlan(tuple(1.0 + index % 7 for index in range(40)), batch_size=8, seed=2)
    assert plan.batches(1) == plan.batches(1)
    assert {frozenset(b) for b in plan.batches(1)} != {frozenset(b) for b in plan.batches(2)}
    other = BatchPlan(plan.durations_s, batch_size=8, seed=3)
    assert other.batches(1) != plan.batches(1)
    assert other.fingerprint() != plan.fingerprint()


def test_a_resumed_epoch_leaves_out_what_was_done_once() -> None:
    sampler = ShardedBatchSampler(BatchPlan((1.0,) * 10, batch_size=2))
    whole = list(sampler)
    sampler.first_batch = 3
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole, "the next epoch starts at its beginning"


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="batch_size 1 must be at least the number of processes 2"):
        BatchPlan((1.0, 2.0), batch_size=1, num_processes=2)
    with pytest.raises(ValueError, match="no utterances"):
        BatchPlan((), batch_size=1)
    with pytest.raises(ValueError, match="max_batch_seconds"):
        BatchPlan((1.0,), batch_size=1, max_batch_seconds=0)
    with pytest.raises(ValueError, match="3 processes cannot share 2 utterances"):
        BatchPlan((1.0, 2.0), batch_size=3, num_processes=3)


@settings(max_examples=30, deadline=None)
@given(durations=st.lists(st.floats(0.1, 30.0), min_size=1, max_size=9), size=st.integers(2, 4))
def test_validation_counts_every_utterance_once_however_few(
    durations: list[float], size: int
) -> None:
    plan = BatchPlan(tuple(durations), batch_size=2 * size, shuffle=False)
    shards = [ShardedBatchSampler(plan, rank=rank, num_processes=size) for rank in range(size)]
    used = [index for shard in shards for batch in shard for index in batch]
    assert sorted(used) == list(range(len(durations)))


class Growing:
    """Three items that last longer in every epoch."""

    def __len__(self) -> int:
        return 3

    def of_epoch(self, epoch: int) -> tuple[float, ...]:
        return (1.0 * epoch, 5.0, 2.0 * epoch)

    def fingerprint(self) -> str:
        return "growing"


def test_durations_may_depend_on_the_epoch() -> None:
    plan = BatchPlan(Growing(), batch_size=2, max_batch_seconds=10.0, shuffle=False)
    assert plan.batches(1) == [[1, 2], [0]]
    assert plan.batches(4) == [[2], [1, 0]]
    assert (
        plan.fingerprint()
        == BatchPlan(
            Growing(), batch_size=2, max_batch_seconds=10.0, num_processes=2, shuffle=False
        ).fingerprint()
    )
    with pytest.raises(ValueError, match="4 processes cannot share 3 utterances"):
        BatchPlan(Growing(), batch_size=4, num_processes=4)
