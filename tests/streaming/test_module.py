from __future__ import annotations

import pytest
import torch

from sb_alexa.nn.frame_stacking import FrameStacking
from sb_alexa.streaming.sequential import StreamingSequential
from tests.streaming.look_ahead import SumOfNext


def test_look_ahead_is_flushed_with_zeros() -> None:
    x = torch.randn(2, 5, 2, dtype=torch.float64)
    following = torch.cat([x[:, 1:], torch.zeros(2, 1, 2)], dim=1)
    assert torch.allclose(SumOfNext()(x), x + following)


def test_look_ahead_in_chunks_comes_one_step_late() -> None:
    module, x = SumOfNext(), torch.randn(1, 6, 2, dtype=torch.float64)
    first, state = module.forward_chunk(x[:, :4], module.initial_state(1))
    second, state = module.forward_chunk(x[:, 4:], state)
    late = torch.cat([first, second, module.finish(state)], dim=1)
    assert torch.equal(late[:, 1:], module(x))


def test_the_row_before_its_padding_looks_ahead_at_zeros() -> None:
    module, x = SumOfNext(), torch.randn(2, 6, 2, dtype=torch.float64)
    y = module(x, torch.tensor([1.0, 0.5]))
    assert torch.allclose(y[1, 2], x[1, 2])
    assert not y[1, 3:].any()


def test_a_causal_module_owes_nothing() -> None:
    stacking = FrameStacking(num_features=2, num_frames=3)
    assert stacking.finish(stacking.initial_state(2)).shape == (2, 0, 6)


def test_a_state_of_other_rows_is_refused() -> None:
    module = SumOfNext()
    with pytest.raises(ValueError, match=r"a chunk of 3 rows and a state of 2; open the stream"):
        module.forward_chunk(torch.zeros(3, 1, 2), module.initial_state(2))


def test_an_incomplete_hop_names_the_remedy() -> None:
    stacking = FrameStacking(num_features=2, num_frames=3)
    with pytest.raises(ValueError, match=r"whole hops of 3 steps, got 4(.|\n)*StreamingSession"):
        stacking.forward_chunk(torch.zeros(1, 4, 2), stacking.initial_state(1))


def test_chains_compose_their_geometry() -> None:
    chain = StreamingSequential(FrameStacking(num_features=1, num_frames=2), SumOfNext())
    assert (chain.geometry.hop, chain.geometry.look_ahead, chain.geometry.window) == (2, 2, 4)
    x = torch.randn(1, 8, 1, dtype=torch.float64)
    assert torch.allclose(chain(x), SumOfNext()(x.view(1, 4, 2)))


def test_a_chain_that_cannot_be_flushed_is_refused() -> None:
    with pytest.raises(ValueError, match="looks ahead 1 steps, no multiple of its hop of 2"):
        StreamingSequential(SumOfNext(), FrameStacking(num_features=2, num_frames=2))


def test_a_chain_takes_streaming_modules_only() -> None:
    with pytest.raises(ValueError, match="takes streaming modules, got Linear"):
        StreamingSequential(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one module"):
        StreamingSequential()
