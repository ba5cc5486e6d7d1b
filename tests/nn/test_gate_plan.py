from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.nn.gate_plan import BlockPlan, Rows, plan_blocks, runs_of_heads


def numbers(rows: Rows, num_rows: int) -> list[int]:
    """Which rows, by taking them."""
    found = rows.take(torch.arange(num_rows)).tolist() if rows.count else []
    assert len(found) == rows.count
    return found


def on(column: Tensor) -> list[int]:
    return column.nonzero().flatten().tolist()


@settings(max_examples=100, deadline=None)
@given(
    num_rows=st.integers(1, 9),
    num_blocks=st.integers(1, 3),
    nhead=st.integers(1, 4),
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_a_plan_lists_what_is_on(num_rows, num_blocks, nhead, rate, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(num_rows, num_blocks, 1 + 2 * nhead, generator=generator) < rate
    plans = plan_blocks(keep)
    assert len(plans) == num_blocks
    for number, plan in enumerate(plans):
        block = keep[:, number]
        assert numbers(plan.feed_forward, num_rows) == on(block[:, 0])
        for head in range(nhead):
            assert numbers(plan.query[head], num_rows) == on(block[:, 1 + head])
            assert numbers(plan.key[head], num_rows) == on(block[:, 1 + nhead + head])
        assert numbers(plan.any_query, num_rows) == on(block[:, 1 : 1 + nhead].any(dim=1))
        assert plan.is_full == bool(block[:, 1:].all())


@settings(max_examples=100, deadline=None)
@given(heads=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_runs_cover_each_working_head_once(heads: list[list[bool]]) -> None:
    """Only heads that compute all rows stand together, and all neighbours of those do."""
    keep = torch.tensor([[row[0] for row in heads], [row[1] for row in heads]])
    keep = torch.cat([torch.ones(2, 1, dtype=torch.bool), keep, keep], dim=1)[:, None]
    rows = plan_blocks(keep)[0].query
    runs = runs_of_heads(rows)
    covered = [head for first, last in runs for head in range(first, last)]
    assert covered == [head for head, one in enumerate(rows) if one.count]
    for first, last in runs:
        assert last == first + 1 or all(rows[head].count == 2 for head in range(first, last))
    for (_, end), (begin, _) in zip(runs, runs[1:], strict=False):
        assert end < begin or rows[end - 1].count < 2 or rows[begin].count < 2


def test_rows_are_taken_and_added() -> None:
    x = torch.arange(6.0).view(3, 2)
    some, everything = Rows(2, torch.tensor([0, 2])), Rows(3)
    assert some.take(x).tolist() == [[0, 1], [4, 5]]
    assert some.add(x, torch.ones(2, 2)).tolist() == [[1, 2], [2, 3], [5, 6]]
    assert everything.take(x) is x
    assert torch.equal(everything.add(x, x), 2 * x)
    assert x.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_dense_plan_computes_everything() -> None:
    plan = BlockPlan.everything(num_rows=4, nhead=2)
    assert plan == plan_blocks(torch.ones(4, 1, 5, dtype=torch.bool))[0]
    assert plan.is_full
