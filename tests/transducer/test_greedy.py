"""Greedy search against a textbook loop, for any batch, chunking and emission rate."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sb_alexa.streaming.state import cat, named_tensors, rows, where
from sb_alexa.transducer import greedy
from sb_alexa.transducer.greedy import GreedySearch, GreedyState
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor
from sb_alexa.transducer.predictor import Predictor
from sb_alexa.transducer.stateless_predictor import StatelessPredictor

V, C = 7, 5


def random_search(
    seed: int, recurrent: bool = True, blank_bias: float = 0.0, max_symbols: int = 3
) -> GreedySearch:
    """Wide weights, so that labels depend on frames and history; the bias sets their rate."""
    torch.manual_seed(seed)
    predictor: Predictor
    if recurrent:
        predictor = LSTMPredictor(num_labels=V, embedding_size=4, hidden_size=6, output_size=C)
    else:
        predictor = StatelessPredictor(num_labels=V, embedding_size=C, context_size=3)
    joiner = Joiner(encoder_size=C, predictor_size=C, num_labels=V)
    for module in (predictor, joiner):
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        module.double().eval()
    with torch.no_grad():
        joiner.output.bias[0] += blank_bias
    return GreedySearch(predictor=predictor, joiner=joiner, max_symbols_per_frame=max_symbols)


def textbook(search: GreedySearch, frames: Tensor) -> Hypothesis:
    """One stream (T, C), frame by frame and label by label."""
    found = Hypothesis()
    with torch.no_grad():
        out, state = search.predictor.start(1)
        for number, frame in enumerate(frames):
            for _ in range(search.max_symbols_per_frame):
                history = search.joiner.project_predictor(out)[0, 0]
                logits = search.joiner(search.joiner.project_encoder(frame), history)
                token = int(logits.argmax())
                if token == search.blank_index:
                    break
                score = float(logits.log_softmax(-1)[token])
                found += Hypothesis((token,), (number,), (score,))
                out, state = search.predictor.forward_chunk(torch.tensor([[token]]), state)
    return found


def in_chunks(
    search: GreedySearch, frames: Tensor, num_frames: Tensor, cuts: Sequence[int]
) -> tuple[list[Hypothesis], GreedyState]:
    """Feed chunks of the given sizes, repeated until the end."""
    state = search.initial_state(len(frames))
    found = [Hypothesis() for _ in frames]
    start = number = 0
    while start < frames.shape[1]:
        size = cuts[number % len(cuts)]
        chunk = frames[:, start : start + size]
        valid = (num_frames - start).clamp(0, chunk.shape[1])
        new, state = search.forward_chunk(chunk, state, valid)
        found = [whole + part for whole, part in zip(found, new, strict=True)]
        start, number = start + size, number + 1
    return found, state


def assert_same(actual: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [one.tokens for one in actual] == [one.tokens for one in expected]
    assert [one.frames for one in actual] == [one.frames for one in expected]
    for one, other in zip(actual, expected, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    recurrent=st.booleans(),
    blank_bias=st.sampled_from([-4.0, 0.0, 2.0, 4.0]),
    max_symbols=st.integers(1, 4),
    num_frames=st.lists(st.integers(0, 14), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
)
def test_batch_and_chunks_equal_the_textbook(
    seed: int,
    recurrent: bool,
    blank_bias: float,
    max_symbols: int,
    num_frames: list[int],
    cuts: list[int],
) -> None:
    search = random_search(seed, recurrent, blank_bias, max_symbols)
    frames = torch.randn(len(num_frames), max(num_frames), C, dtype=torch.float64) * 2
    lengths = torch.tensor(num_frames)
    if seed % 2:  # padding is never looked at, be it speech or NaN
        for row, length in enumerate(num_frames):
            frames[row, length:] = torch.nan
    expected = [textbook(search, row[:n]) for row, n in zip(frames, num_frames, strict=True)]
    assert_same(search(frames, lengths), expected)
    chunked, state = in_chunks(search, frames, lengths, cuts)
    assert_same(chunked, expected)
    assert state.num_frames.tolist() == num_frames


def test_the_random_models_emit_at_all_rates() -> None:
    """The property test is not vacuous: silence, several labels per frame and full frames occur."""
    frames = torch.randn(1, 40, C, dtype=torch.float64) * 2
    rates = {bias: len(random_search(3, True, bias)(frames)[0]) for bias in (-4.0, 2.0, 20.0)}
    assert rates[20.0] == 0 < rates[2.0] < rates[-4.0] <= 120


@pytest.mark.parametrize("cuts", [[1], [2], [0, 3], [40]])
def test_symbol_limit_is_exact_and_holds_over_chunk_boundaries(cuts: list[int]) -> None:
    search = random_search(0, blank_bias=-1000.0, max_symbols=3)
    frames = torch.randn(2, 8, C, dtype=torch.float64)
    found, _ = in_chunks(search, frames, torch.tensor([8, 5]), cuts)
    assert found[0].frames == tuple(frame for frame in range(8) for _ in range(3))
    assert found[1].frames == tuple(frame for frame in range(5) for _ in range(3))


def test_long_silence_between_labels_resets_the_limit() -> None:
    """A frame after a window of blanks has its full number of labels again."""
    search = random_search(0, max_symbols=2)
    gate = torch.zeros(V, C, dtype=torch.float64)
    gate[1, 0] = 100.0
    with torch.no_grad():
        search.joiner.output.weight.copy_(gate)
        search.joiner.output.bias.zero_()
        search.joiner.output.bias[0] = 50.0
        for parameter in search.predictor.parameters():
            parameter.zero_()
    frames = torch.full((1, 40, C), -9.0, dtype=torch.float64)
    loud = [0, 1, 2 + 2 * greedy._FRAMES_AHEAD, 39]
    frames[0, loud] = 9.0
    assert search(frames)[0].frames == tuple(frame for frame in loud for _ in range(2))


def test_nothing_is_changed_in_place_and_replay_is_equal() -> None:
    search = random_search(1, blank_bias=-1.0)
    frames = torch.randn(3, 6, C, dtype=torch.float64)
    _, state = search.forward_chunk(frames, search.initial_state(3))
    before = [(name, tensor.clone()) for name, tensor in named_tensors(state)]
    first, after = search.forward_chunk(frames, state)
    again, _ = search.forward_chunk(frames, state)
    assert any(map(len, first)) and first == again
    assert all(torch.equal(tensor, dict(named_tensors(state))[name]) for name, tensor in before)
    assert after.num_frames.tolist() == [12, 12, 12] and state.num_frames.tolist() == [6, 6, 6]


def test_rows_of_the_state_can_be_reordered_joined_held_and_reset() -> None:
    search = random_search(2, blank_bias=1.0)
    frames = torch.randn(3, 20, C, dtype=torch.float64) * 2
    whole = search(frames)
    head, state = search.forward_chunk(frames[:, :9], search.initial_state(3))
    order = torch.tensor([2, 0, 1])
    tail, _ = search.forward_chunk(frames[order, 9:], rows(state, order))
    assert_same(
        [head[old] + new for old, new in zip(order, tail, strict=True)],
        [whole[old] for old in order],
    )

    alone = [search.forward_chunk(row[None, :9], search.initial_state(1))[1] for row in frames]
    tail, _ = search.forward_chunk(frames[:, 9:], cat(alone))
    assert_same([old + new for old, new in zip(head, tail, strict=True)], whole)

    is_old = torch.tensor([True, False, True])
    mixed = where(is_old, state, search.initial_state(3))
    tail, _ = search.forward_chunk(frames[:, 9:], mixed)
    assert_same([tail[1]], search(frames[1:2, 9:]))
    assert_same([head[0] + tail[0], head[2] + tail[2]], [whole[0], whole[2]])


def test_nan_is_named_by_row_and_frame() -> None:
    search = random_search(0, blank_bias=1000.0)
    frames = torch.zeros(2, 9, C, dtype=torch.float64)
    frames[1, 7, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN at frame 7 of this chunk in row 1: the encoder"):
        search(frames)
    assert not any(map(len, search(frames, torch.tensor([9, 7]))))


def test_nan_weights_do_not_pass_as_silence() -> None:
    search = random_search(0)
    with torch.no_grad():
        search.joiner.output.weight[3, 0] = torch.nan
    with pytest.raises(ValueError, match="or the model's weights hold NaN"):
        search(torch.zeros(1, 2, C, dtype=torch.float64))


def test_no_gradient_is_recorded_and_inference_mode_works() -> None:
    search = random_search(1, blank_bias=-1.0)
    frames = torch.randn(1, 5, C, dtype=torch.float64, requires_grad=True)
    found, state = search.forward_chunk(frames, search.initial_state(1))
    assert not any(tensor.requires_grad for _, tensor in named_tensors(state))
    with torch.inference_mode():
        assert search(frames) == found


def test_autocast_stream_opened_outside() -> None:
    search = random_search(1, blank_bias=-1.0)
    search.predictor.float()
    search.joiner.float()
    state = search.initial_state(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(3):
            found, state = search.forward_chunk(torch.randn(2, 2, C), state)
    assert state.history.dtype == torch.float32 and any(map(len, found))


def test_confidence_is_the_probability_of_the_label() -> None:
    search = random_search(0, max_symbols=1)
    with torch.no_grad():
        search.joiner.output.weight.zero_()
        search.joiner.output.bias.copy_(torch.tensor([0.1, 0, 0, 0, 0.7, 0.1, 0.1]).log())
    (found,) = search(torch.zeros(1, 2, C, dtype=torch.float64))
    assert found.tokens == (4, 4)
    assert found.confidences == pytest.approx((0.7, 0.7))


def test_empty_input() -> None:
    search = random_search(0)
    state = search.initial_state(2)
    found, after = search.forward_chunk(torch.zeros(2, 0, C, dtype=torch.float64), state)
    assert found == [Hypothesis(), Hypothesis()]
    assert after.num_frames.tolist() == [0, 0]
    assert search(torch.zeros(0, 4, C, dtype=torch.float64)) == []


def test_wrong_input_is_named() -> None:
    search = random_search(0)
    frames = torch.zeros(2, 4, C, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"for the 3 rows of its state, got \(2, 4, 5\)"):
        search.forward_chunk(frames, search.initial_state(3))
    with pytest.raises(ValueError, match="num_frames of item 1 is 5, expected 0..4"):
        search(frames, torch.tensor([4, 5]))
    with pytest.raises(ValueError, match="max_symbols_per_frame must be >= 1, got 0"):
        random_search(0, max_symbols=0)
    other = Joiner(encoder_size=C, predictor_size=C, num_labels=V + 1)
    with pytest.raises(ValueError, match="must agree on the labels, got num_labels 7 and 8"):
        GreedySearch(predictor=search.predictor, joiner=other)
    with pytest.raises(ValueError, match="blank_index 0 and 6"):
        GreedySearch(predictor=search.predictor, joiner=search.joiner, blank_index=6)
