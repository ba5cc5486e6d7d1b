"""Plans that favour a cohort: shares, limits, processes, resumption, errors."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from sb_alexa.training.batching import BatchPlan, ShardedBatchSampler
from sb_alexa.training.cohort_plan import CohortOversampling, CohortReplay, CohortSampling

NUMBER = 400
MEMBERS = 60


def base(**changes: object) -> BatchPlan:
    generator = torch.Generator().manual_seed(0)
    durations_s = (1.0 + 14 * torch.rand(NUMBER, generator=generator)).tolist()
    settings = {"durations_s": tuple(durations_s), "batch_size": 12, "seed": 5, **changes}
    return BatchPlan(**settings)  # type: ignore[arg-type]


IN_COHORT = tuple(index % 7 == 0 and index < 7 * MEMBERS for index in range(NUMBER))
SAMPLINGS = [CohortOversampling(factor=2.5), CohortReplay(share=0.3), CohortReplay()]


def counts(batches: list[list[int]]) -> Counter[int]:
    return Counter(index for batch in batches for index in batch)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("limit", [None, 60.0])
def test_limits_hold_and_everything_follows_from_seed_and_epoch(
    sampling: CohortSampling, limit: float | None
) -> None:
    plan = sampling.plan(base(max_batch_seconds=limit), IN_COHORT)
    again = sampling.plan(base(max_batch_seconds=limit), IN_COHORT)
    assert plan.batches(3) == again.batches(3) != plan.batches(4)
    assert plan.fingerprint() == again.fingerprint()
    other_seed = sampling.plan(base(max_batch_seconds=limit, seed=6), IN_COHORT)
    assert other_seed.batches(3) != plan.batches(3)
    durations_s = base().durations_s
    assert isinstance(durations_s, tuple)
    for batch in plan.batches(3):
        assert 1 <= len(batch) <= 12
        if limit is not None and len(batch) > 1:
            assert len(batch) * max(durations_s[index] for index in batch) <= limit


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_two_processes_share_what_one_learns(sampling: CohortSampling) -> None:
    plan = sampling.plan(base(num_processes=2), IN_COHORT)
    alone = sampling.plan(base(), IN_COHORT)
    assert plan.fingerprint() == alone.fingerprint()
    parts = [list(ShardedBatchSampler(plan, rank=rank, num_processes=2)) for rank in (0, 1)]
    assert len(parts[0]) == len(parts[1]) == len(plan.batches(1))
    for whole, first, second in zip(plan.batches(1), *parts, strict=True):
        assert sorted(first + second) == sorted(whole) and first and second
    resumed = ShardedBatchSampler(plan, rank=0, num_processes=2)
    resumed.first_batch = 3
    assert list(resumed) == parts[0][3:]


@pytest.mark.parametrize("factor", [1, 2, 2.5, 3.25])
def test_the_cohort_comes_as_often_as_the_factor_says(factor: float) -> None:
    plan = CohortOversampling(factor=factor).plan(base(), IN_COHORT)
    for epoch in (1, 2):
        found = counts(plan.batches(epoch))
        members = [found[index] for index in range(NUMBER) if IN_COHORT[index]]
        others = [found[index] for index in range(NUMBER) if not IN_COHORT[index]]
        assert set(others) == {1}
        assert sum(members) == round(factor * sum(IN_COHORT))
        assert max(members) - min(members) <= 1
    if factor % 1:
        first, second = (counts(plan.batches(epoch)) for epoch in (1, 2))
        assert first != second, "the fraction is drawn in every epoch"


def test_a_factor_of_one_is_the_plain_plan() -> None:
    plan = CohortOversampling(factor=1).plan(base(), IN_COHORT)
    assert plan.batches(2) == base().batches(2)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
@pytest.mark.parametrize("limit", [None, 60.0])
def test_every_batch_has_its_share_of_replay(share: float, limit: float | None) -> None:
    # A cohort of its own, so that what is replayed can be told from what is not.
    plan = CohortReplay(share=share).plan(base(max_batch_seconds=limit), IN_COHORT)
    pool = [index for index in range(NUMBER) if not IN_COHORT[index]]
    batches = plan.batches(1)
    cohort = [index for index in range(NUMBER) if IN_COHORT[index]]
    number = round(len(cohort) * share / (1 - share))
    found = counts(batches)
    assert sum(found.values()) == len(cohort) + number
    assert all(found[index] >= 1 for index in cohort), "an utterance of the cohort is missing"
    assert all(found[index] <= 1 for index in pool), "replay repeated itself"
    # Members may be replayed too, so a batch has at most its share of others, and one more.
    for batch in batches:
        others = sum(not IN_COHORT[index] for index in batch)
        assert others <= share * len(batch) + 1
    replayed = [Counter(plan.batches(epoch)[0]) for epoch in (1, 2)]
    assert replayed[0] != replayed[1]


def test_the_share_is_exact_where_it_can_be_counted() -> None:
    """A cohort of one in a hundred is hardly ever replayed by chance."""
    durations_s = tuple(1.0 + (index * 37 % 100) / 10 for index in range(10_000))
    in_cohort = tuple(index % 100 == 0 for index in range(10_000))
    plan = CohortReplay(share=0.5).plan(BatchPlan(durations_s, batch_size=10), in_cohort)
    for batch in plan.batches(1):
        assert abs(sum(in_cohort[index] for index in batch) - len(batch) / 2) <= 1.5


def test_no_replay_is_the_cohort_alone() -> None:
    found = counts(CohortReplay().plan(base(), IN_COHORT).batches(1))
    assert found == Counter(index for index in range(NUMBER) if IN_COHORT[index])


def test_a_small_corpus_is_replayed_more_than_once() -> None:
    plan = CohortReplay(share=0.9).plan(
        BatchPlan((1.0,) * 10, batch_size=5), [True] * 5 + [False] * 5
    )
    found = counts(plan.batches(1))
    assert sum(found.values()) == 50 and min(found.values()) >= 4


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_fingerprint_tells_what_decides(sampling: CohortSampling) -> None:
    plan = sampling.plan(base(), IN_COHORT)
    others = [one.plan(base(), IN_COHORT) for one in SAMPLINGS if one is not sampling]
    others.append(sampling.plan(base(), (not IN_COHORT[0], *IN_COHORT[1:])))
    others.append(sampling.plan(base(batch_size=8), IN_COHORT))
    assert plan.fingerprint() not in {one.fingerprint() for one in others}


@pytest.mark.parametrize("members", [[False] * NUMBER, [True] * NUMBER])
def test_a_cohort_of_nobody_or_everybody_is_refused(members: list[bool]) -> None:
    with pytest.raises(ValueError, match="of 400 training utterances belong to the cohort"):
        CohortReplay().plan(base(), members)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="factor must be >= 1"):
        CohortOversampling(factor=0.5)
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\)"):
        CohortReplay(share=1.0)
    with pytest.raises(ValueError, match="3 entries for 400"):
        CohortReplay().plan(base(), [True, False, False])


def test_more_processes_than_the_cohort_has_utterances_are_refused() -> None:
    with pytest.raises(ValueError, match="4 processes cannot share 1 utterances of the cohort"):
        CohortReplay().plan(base(num_processes=4), [True] + [False] * (NUMBER - 1))
