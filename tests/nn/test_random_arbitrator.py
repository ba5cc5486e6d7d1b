from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from sb_alexa.nn.random_arbitrator import RandomArbitrator

BLOCKS, NHEAD = 3, 2
TOGGLES = 1 + 2 * NHEAD


def gates(frames: int = 20_000, **options) -> Tensor:
    """(T, N * (1 + 2 H)) of one stream, as 0 and 1."""
    arbitrator = RandomArbitrator(input_size=4, num_blocks=BLOCKS, nhead=NHEAD, **options).eval()
    return (arbitrator(torch.zeros(1, frames, 4))[0] > 0).flatten(1).double()


def correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
def test_every_toggle_has_the_rate_of_its_kind(groups: int, training: bool) -> None:
    arbitrator = RandomArbitrator(
        input_size=4,
        num_blocks=BLOCKS,
        nhead=NHEAD,
        feed_forward_groups=groups,
        feed_forward=0.1,
        query=0.5,
        key=0.85,
    ).train(training)
    rate = (arbitrator(torch.zeros(1, 20_000, 4))[0] > 0).double().mean(dim=0)  # (N, G + 2 H)
    layout = arbitrator.layout
    for part, expected in ((layout.feed_forward, 0.1), (layout.query, 0.5), (layout.key, 0.85)):
        found = rate[:, part]
        assert found.shape[1] in (groups, NHEAD)
        assert torch.allclose(found, torch.tensor(expected).double(), atol=0.015)


def test_rates_of_zero_and_one_are_kept_exactly() -> None:
    found = gates(feed_forward=0.0, query=1.0, key=0.0)
    assert found.view(-1, BLOCKS, TOGGLES).mean(dim=(0, 1)).tolist() == [0, 1, 1, 0, 0]


def test_toggles_frames_and_seeds_are_independent() -> None:
    """4 standard deviations of a correlation of 20,000 pairs are 0.028; there are 105 + 15."""
    one, other = (gates(query=0.5, key=0.5, feed_forward=0.5, seed=seed) for seed in (0, 1))
    pairs = itertools.combinations(range(BLOCKS * TOGGLES), 2)
    assert max(abs(correlation(one[:, a], one[:, b])) for a, b in pairs) < 0.03
    for toggle in range(BLOCKS * TOGGLES):
        assert abs(correlation(one[:, toggle], other[:, toggle])) < 0.03
        for lag in (1, 2, 7):
            assert abs(correlation(one[lag:, toggle], one[:-lag, toggle])) < 0.03


def test_two_arbitrators_of_one_encoder_need_two_seeds() -> None:
    assert torch.equal(gates(50, seed=3), gates(50, seed=3))
    assert not torch.equal(gates(50, seed=3), gates(50, seed=4))


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 0), (0, 1000)])
def test_no_shift_turns_one_seed_into_another(one: int, other: int) -> None:
    """Seeds are not near places of one long sequence, whose gates would come again in 10 min."""
    equal = {"feed_forward": 0.5, "query": 0.5, "key": 0.5}
    long, short = gates(20_000, seed=one, **equal), gates(8, seed=other, **equal)
    sequence, part = 2 * long.flatten() - 1, 2 * short.flatten() - 1
    agreement = torch.nn.functional.conv1d(sequence[None, None], part[None, None]) / len(part)
    assert agreement.max() < 0.6  # 6 standard deviations; a shift would give 1


def test_after_hours_the_rates_are_the_same() -> None:
    arbitrator = RandomArbitrator(input_size=4, num_blocks=12, nhead=4, query=0.3).eval()
    state = arbitrator.initial_state(1)
    later = type(state)(state.frame + 10**8)
    logits, after = arbitrator.forward_chunk(torch.zeros(1, 5_000, 4), later)
    assert (logits[..., 1:5] > 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert after.frame.tolist() == [10**8 + 5_000]


def test_in_training_gates_are_drawn_afresh() -> None:
    arbitrator = RandomArbitrator(input_size=4, num_blocks=2, nhead=2).train()
    x = torch.zeros(2, 30, 4)
    first = arbitrator(x)
    assert not torch.equal(first, arbitrator(x))
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(7)
    again = arbitrator(x)
    torch.manual_seed(7)
    assert torch.equal(again, arbitrator(x))


def test_no_usual_threshold_moves_them() -> None:
    logits = RandomArbitrator(input_size=4, num_blocks=2, nhead=2).eval()(torch.zeros(1, 30, 4))
    probability = logits.double().sigmoid()
    assert ((probability < 1e-12) | (probability > 1 - 1e-12)).all()


@pytest.mark.parametrize("name", ["query", "key", "feed_forward"])
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_are_checked(name: str, rate: float) -> None:
    options: dict[str, Any] = {name: rate}
    with pytest.raises(ValueError, match=f"keep rate {name} must lie between 0 and 1, got {rate}"):
        RandomArbitrator(input_size=4, num_blocks=2, nhead=2, **options)
