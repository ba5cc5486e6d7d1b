from __future__ import annotations

import pytest
import torch

from sb_alexa.bench.operations import count_macs
from sb_alexa.nn.arbitrator import Arbitrator
from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.random_arbitrator import RandomArbitrator
from sb_alexa.nn.recurrent_arbitrator import RecurrentArbitrator

KINDS = [FeedForwardArbitrator, RecurrentArbitrator, RandomArbitrator]


@pytest.mark.parametrize("kind", KINDS)
def test_declared_operations_are_executed(kind: type[Arbitrator]) -> None:
    arbitrator = kind(input_size=20, num_blocks=3, nhead=2).eval()
    with torch.no_grad():
        state = arbitrator.initial_state(2)
        counted = count_macs(lambda: arbitrator.forward_chunk(torch.zeros(2, 5, 20), state))
    assert counted == 2 * 5 * arbitrator.macs_per_frame


@pytest.mark.parametrize(
    ("kind", "single", "dual"),
    [(FeedForwardArbitrator, 0.08e6, 0.16e6), (RecurrentArbitrator, 0.5e6, 1e6)],
)
def test_sizes_are_those_of_the_paper(kind: type[Arbitrator], single: float, dual: float) -> None:
    """12 blocks or twice 6, d_model 516, 4 heads; published with one digit."""

    def count(num_blocks: int) -> int:
        arbitrator = kind(input_size=516, num_blocks=num_blocks, nhead=4)
        return sum(parameter.numel() for parameter in arbitrator.parameters())

    assert count(12) == pytest.approx(single, rel=0.1)
    assert 2 * count(6) == pytest.approx(dual, rel=0.12)


@pytest.mark.parametrize("kind", [FeedForwardArbitrator, RecurrentArbitrator])
@pytest.mark.parametrize("bias", [2.0, -1.0])
def test_gates_start_where_the_bias_says(
    kind: type[FeedForwardArbitrator] | type[RecurrentArbitrator], bias: float
) -> None:
    arbitrator = kind(input_size=32, num_blocks=4, nhead=2, bias=bias)
    logits = arbitrator(torch.zeros(3, 7, 32))
    assert logits.shape == (3, 7, 4, 5)
    assert (logits - bias).abs().max() < 0.5


def test_only_the_recurrent_one_remembers() -> None:
    for kind, remembers in ((FeedForwardArbitrator, False), (RecurrentArbitrator, True)):
        arbitrator = kind(input_size=6, num_blocks=2, nhead=2)
        x = torch.randn(1, 8, 6)
        other = x.clone()
        other[:, 2] += 1.0
        changed = (arbitrator(x) != arbitrator(other)).flatten(2).any(dim=2)[0]
        assert changed.tolist() == [False, False, True, *[remembers] * 5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["input_size", "num_blocks", "nhead"])
def test_sizes_are_checked(kind: type[Arbitrator], name: str) -> None:
    sizes = {"input_size": 6, "num_blocks": 2, "nhead": 3, name: 0}
    got = f"{sizes['input_size']}, {sizes['num_blocks']}, {sizes['nhead']} and 1"
    with pytest.raises(ValueError, match=f"must be >= 1, got {got}"):
        kind(**sizes)
    with pytest.raises(ValueError, match="hidden_size"):
        FeedForwardArbitrator(input_size=6, num_blocks=2, nhead=3, hidden_size=0)
    with pytest.raises(ValueError, match="hidden_size and num_layers must be >= 1, got 128 and 0"):
        RecurrentArbitrator(input_size=6, num_blocks=2, nhead=3, num_layers=0)


def test_gates_have_three_tensors_that_fit() -> None:
    gate = torch.ones(2, 5, 3, 4)
    assert Gates(gate[..., :1], gate, gate).nhead == 4
    with pytest.raises(ValueError, match=r"\(B, T, N, G\).* got \(2, 5, 3\)"):
        Gates(gate[..., 0], gate, gate)
    with pytest.raises(ValueError, match=r"\(2, 5, 3, 2\)"):
        Gates(gate[..., :1], gate, gate[..., :2])
    with pytest.raises(ValueError, match=r"\(2, 4, 3, 1\)"):
        Gates(gate[:, :4, :, :1], gate, gate)
