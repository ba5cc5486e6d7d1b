from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.nn.gate_plan import BlockPlan, Rows, plan_blocks, runs_of_parts
from sb_alexa.nn.gates import ToggleLayout


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
    groups=st.integers(1, 3),
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_a_plan_lists_what_is_on(num_rows, num_blocks, nhead, groups, rate, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(num_rows, num_blocks, groups + 2 * nhead, generator=generator) < rate
    plans = plan_blocks(keep, ToggleLayout(groups, nhead))
    assert len(plans) == num_blocks
    for number, plan in enumerate(plans):
        block = keep[:, number]
        for group in range(groups):
            assert numbers(plan.feed_forward[group], num_rows) == on(block[:, group])
        for head in range(nhead):
            assert numbers(plan.query[head], num_rows) == on(block[:, groups + head])
            assert numbers(plan.key[head], num_rows) == on(block[:, groups + nhead + head])
        queries = block[:, groups : groups + nhead].any(dim=1)
        assert numbers(plan.any_query, num_rows) == on(queries)
        assert numbers(plan.any_feed_forward, num_rows) == on(block[:, :groups].any(dim=1))
        assert plan.is_full == bool(block[:, groups:].all())
        whole = bool(block[:, :groups].all())
        assert plan.feed_forward_is_undivided == (groups == 1 or whole)


@settings(max_examples=100, deadline=None)
@given(heads=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_runs_cover_each_working_head_once(heads: list[list[bool]]) -> None:
    """Only heads that compute all rows stand together, and all neighbours of those do."""
    keep = torch.tensor([[row[0] for row in heads], [row[1] for row in heads]])
    keep = torch.cat([torch.ones(2, 1, dtype=torch.bool), keep, keep], dim=1)[:, None]
    rows = plan_blocks(keep, ToggleLayout(1, len(heads)))[0].query
    runs = runs_of_parts(rows)
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
    layout = ToggleLayout(3, 2)
    plan = BlockPlan.everything(num_rows=4, layout=layout)
    assert plan == plan_blocks(torch.ones(4, 1, 7, dtype=torch.bool), layout)[0]
    assert plan.is_full and plan.feed_forward_is_undivided
