"""Beam search against exhaustive enumeration and a plain reference, for any batch and chunking."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.streaming.state import cat, named_tensors, rows, where
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.beam_reference import (
    LabelDistributions,
    exhaustive_search,
    reference_beam_search,
)
from sb_alexa.transducer.beam_state import BeamState
from sb_alexa.transducer.greedy import GreedySearch, GreedyState
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor
from tests.transducer.beam_models import (
    C,
    assert_same,
    constant_search,
    in_chunks,
    random_frames,
    random_parts,
    random_search,
)

INF = math.inf


@pytest.mark.parametrize(
    ("num_labels", "num_frames", "max_symbols"), [(3, 3, 2), (3, 4, 1), (4, 2, 2), (2, 3, 3)]
)
@pytest.mark.parametrize("seed", range(3))
def test_wide_beam_is_exhaustive(
    num_labels: int, num_frames: int, max_symbols: int, seed: int
) -> None:
    predictor, joiner = random_parts(seed, num_labels, blank_bias=float(seed))
    frames = random_frames(1, num_frames)
    expected = exhaustive_search(LabelDistributions(predictor, joiner, frames[0]), max_symbols)
    assert sum(map(math.exp, expected.values())) <= 1.0 + 1e-9
    search = BeamSearch(
        predictor=predictor,
        joiner=joiner,
        beam_size=len(expected) + 3,
        num_hypotheses=len(expected) + 3,
        max_symbols_per_frame=max_symbols,
    )
    (found,) = search.n_best(frames)
    assert {one.hypothesis.tokens: one.score for one in found} == pytest.approx(expected, abs=1e-10)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    recurrent=st.booleans(),
    blank_bias=st.sampled_from([-4.0, 0.0, 2.0, 5.0]),
    length_reward=st.sampled_from([0.0, 0.0, 1.0, 2.0, -1.0]),
    limits=st.fixed_dictionaries(
        {
            "beam_size": st.integers(2, 6),
            "max_symbols_per_frame": st.integers(1, 4),
            "pruning_margin": st.sampled_from([INF, 6.0, 2.3]),
            "expansion_margin": st.sampled_from([INF, INF, 2.3]),
            "max_open_labels": st.sampled_from([1, 2, 5, 256]),
        }
    ),
    num_frames=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
)
def test_batch_and_chunks_equal_the_reference(
    seed: int,
    recurrent: bool,
    blank_bias: float,
    length_reward: float,
    limits: dict[str, Any],
    num_frames: list[int],
    cuts: list[int],
) -> None:
    predictor, joiner = random_parts(seed, 4 + seed % 3, recurrent, blank_bias)
    search = BeamSearch(
        predictor=predictor,
        joiner=joiner,
        num_hypotheses=limits["beam_size"],
        length_reward=length_reward,
        **limits,
    )
    frames = random_frames(len(num_frames), max(num_frames))
    lengths = torch.tensor(num_frames)
    if seed % 2:  # padding is never looked at, be it speech or NaN
        for row, length in enumerate(num_frames):
            frames[row, length:] = torch.nan
    whole, chunked = search.n_best(frames, lengths), in_chunks(search, frames, lengths, cuts)
    for row, length in enumerate(num_frames):
        distributions = LabelDistributions(predictor, joiner, frames[row, :length])
        expected = reference_beam_search(
            distributions, bonus=lambda history, label: length_reward, **limits
        )
        assert_same(whole[row], expected)
        assert_same(chunked[row], expected)


def test_the_random_models_emit_at_all_rates() -> None:
    """The property test is not vacuous: silence, several labels per frame and full frames occur."""
    frames = random_frames(1, 40)
    rates = [
        len(random_search(3, bias, length_reward=reward, max_symbols_per_frame=5)(frames)[0])
        for bias, reward in ((20.0, 0.0), (2.0, 0.0), (0.0, 1.0), (0.0, 9.0))
    ]
    assert rates[0] == 0 < rates[1] < 40 < rates[2] < 40 * 5 == rates[3]


def test_equal_label_sequences_are_merged_and_keep_the_better_path() -> None:
    """Label 1 has a probability of 1/4 at the first frame and of 4/5 at the second."""
    search = constant_search([0.5, 0.5], beam_size=4, num_hypotheses=4, max_symbols_per_frame=1)
    frames = torch.zeros(1, 2, C, dtype=torch.float64)
    with torch.no_grad():
        search.joiner.output.weight[1, 0] = 2.0
    frames[0, :, 0] = torch.tensor([1 / 3, 4.0]).log().div(2).atanh()  # the joiner applies tanh
    found = {one.hypothesis.tokens: one for one in search.n_best(frames)[0]}
    probability = {tokens: math.exp(one.score) for tokens, one in found.items()}
    assert probability == pytest.approx(
        {
            (): 3 / 4 * 1 / 5,
            (1,): 1 / 4 * 3 / 4 * 1 / 5 + 3 / 4 * 4 / 5 * 1 / 5,
            (1, 1): 1 / 4 * 3 / 4 * 4 / 5 * 1 / 5,
        }
    )
    assert found[(1,)].hypothesis.frames == (1,)
    assert found[(1,)].hypothesis.confidences == pytest.approx((4 / 5,))
    assert found[(1, 1)].hypothesis.frames == (0, 1)


def test_it_finds_more_probable_results_than_greedy_search() -> None:
    gains = []
    for seed in range(8):
        predictor, joiner = random_parts(seed, 3, blank_bias=1.0)
        frames = random_frames(1, 3)
        exact = exhaustive_search(LabelDistributions(predictor, joiner, frames[0]), 2)
        parts: dict[str, Any] = {"predictor": predictor, "joiner": joiner}
        parts["max_symbols_per_frame"] = 2
        (greedy,), (beam,) = (
            GreedySearch(**parts)(frames),
            BeamSearch(**parts, beam_size=8)(frames),
        )
        gains.append(exact[beam.tokens] - exact[greedy.tokens])
        assert exact[beam.tokens] > max(exact.values()) - 0.1
    assert min(gains) >= 0 and max(gains) > 0.1


def test_beam_of_one_is_greedy_search() -> None:
    search = random_search(1, beam_size=1, max_symbols_per_frame=2)
    frames, lengths = random_frames(2, 9), torch.tensor([9, 4])
    parts = search.predictor, search.joiner
    greedy = GreedySearch(predictor=parts[0], joiner=parts[1], max_symbols_per_frame=2)
    expected = greedy(frames, lengths)
    assert any(map(len, expected)) and search(frames, lengths) == expected
    state = search.initial_state(2)
    assert isinstance(state, GreedyState)
    found, state = search.forward_chunk(frames, state, lengths)
    assert found == expected and search.finish(state) == [Hypothesis(), Hypothesis()]
    for ranked, one in zip(search.n_best(frames, lengths), expected, strict=True):
        assert [each.hypothesis for each in ranked] == [one]
        assert ranked[0].score == pytest.approx(sum(one.log_probs))


def test_random_weights_for_a_minute_of_speech_end() -> None:
    """SpeechBrain's search need not end here: nothing bounds the labels of a frame."""
    torch.manual_seed(0)
    predictor = LSTMPredictor(num_labels=30, embedding_size=8, hidden_size=8, output_size=8)
    joiner = Joiner(encoder_size=8, predictor_size=8, num_labels=30)
    with torch.no_grad():
        joiner.output.weight.mul_(5.0)
    search = BeamSearch(
        predictor=predictor.eval(), joiner=joiner.eval(), max_symbols_per_frame=2, max_open_labels=9
    )
    (found,) = search(torch.randn(1, 1500, 8))
    assert 1 < len(found) <= 2 * 1500
    assert list(found.frames) == sorted(found.frames) and found.frames[-1] < 1500


@pytest.mark.parametrize("bias", [-1e4, -INF])
def test_time_passes_where_the_blank_is_ruled_out(bias: float) -> None:
    search = random_search(0, bias, beam_size=3, length_reward=9.0, max_symbols_per_frame=3)
    frames, lengths = random_frames(2, 8), torch.tensor([8, 5])
    found = search.n_best(frames, lengths)
    assert [one[0].hypothesis.frames for one in found] == [
        tuple(frame for frame in range(length) for _ in range(3)) for length in (8, 5)
    ]
    assert all(math.isfinite(one.score) for ranked in found for one in ranked)
    assert_same(in_chunks(search, frames, lengths, [5, 0, 2])[0], found[0])


def test_partial_results_are_those_of_the_audio_so_far() -> None:
    search = random_search(4, 1.0, length_reward=0.5)
    frames = random_frames(2, 30)
    state = search.initial_state(2)
    settled = [Hypothesis(), Hypothesis()]
    revised = 0
    before = [Hypothesis(), Hypothesis()]
    for start in range(0, 30, 3):
        new, state = search.forward_chunk(frames[:, start : start + 3], state)
        settled = [one + more for one, more in zip(settled, new, strict=True)]
        partial = [one + more for one, more in zip(settled, search.finish(state), strict=True)]
        whole = search(frames[:, : start + 3])
        assert [one.tokens for one in partial] == [one.tokens for one in whole]
        assert [one.frames for one in partial] == [one.frames for one in whole]
        revised += any(
            now.tokens[: len(old)] != old.tokens for now, old in zip(partial, before, strict=True)
        )
        before = partial
    assert revised and min(map(len, settled)) > 0  # neither half of the result is trivial


def test_state_has_one_size_however_old_the_stream() -> None:
    """Settling on the best hypothesis bounds it; any cutting gives the same result."""
    search = random_search(5, beam_size=3, length_reward=2.0, max_open_labels=4)
    frames = random_frames(1, 100)
    fresh = search.initial_state(1)
    _, state = search.forward_chunk(frames, fresh)
    sizes = [(name, tensor.shape, tensor.dtype) for name, tensor in named_tensors(state)]
    assert sizes == [(name, tensor.shape, tensor.dtype) for name, tensor in named_tensors(fresh)]
    assert isinstance(state, BeamState) and int(state.labels.count.max()) <= 4
    whole = search.n_best(frames)[0]
    assert len(whole[0].hypothesis) > 200
    assert_same(in_chunks(search, frames, torch.tensor([100]), [7])[0], whole)


def test_old_streams_lose_no_precision() -> None:
    search = random_search(6, 1.0)
    frames = random_frames(1, 30)
    fresh = search.initial_state(1)
    assert isinstance(fresh, BeamState)
    old = replace(fresh, score=fresh.score - 1e6, num_frames=fresh.num_frames + 1_000_000)
    (expected, state), (found, later) = (search.forward_chunk(frames, one) for one in (fresh, old))
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    assert found[0].frames[0] == expected[0].frames[0] + 1_000_000
    assert search.finish(state)[0].tokens == search.finish(later)[0].tokens


def test_nothing_is_changed_in_place_and_replay_is_equal() -> None:
    search = random_search(1, -1.0)
    frames = random_frames(3, 6)
    _, state = search.forward_chunk(frames, search.initial_state(3))
    before = [(name, tensor.clone()) for name, tensor in named_tensors(state)]
    first, after = search.forward_chunk(frames, state)
    again, other = search.forward_chunk(frames, state)
    assert first == again and search.alternatives(after) == search.alternatives(other)
    assert any(map(len, search.finish(after)))
    assert all(torch.equal(tensor, dict(named_tensors(state))[name]) for name, tensor in before)
    assert after.num_frames.tolist() == [12, 12, 12] and state.num_frames.tolist() == [6, 6, 6]


def test_rows_of_the_state_can_be_reordered_joined_held_and_reset() -> None:
    search = random_search(2, 1.0)
    frames = random_frames(3, 20)
    whole = search(frames)

    def on(head: list[Hypothesis], state: Any, frames: Tensor) -> list[Hypothesis]:
        tail, state = search.forward_chunk(frames, state)
        rest = search.finish(state)
        return [one + two + three for one, two, three in zip(head, tail, rest, strict=True)]

    head, state = search.forward_chunk(frames[:, :9], search.initial_state(3))
    order = torch.tensor([2, 0, 1])
    found = on([head[row] for row in order], rows(state, order), frames[order, 9:])
    assert [one.tokens for one in found] == [whole[row].tokens for row in order]

    alone = [search.forward_chunk(row[None, :9], search.initial_state(1))[1] for row in frames]
    found = on(head, cat(alone), frames[:, 9:])
    assert [(one.tokens, one.frames) for one in found] == [(o.tokens, o.frames) for o in whole]

    mixed = where(torch.tensor([True, False, True]), state, search.initial_state(3))
    found = on([head[0], Hypothesis(), head[2]], mixed, frames[:, 9:])
    assert found[1].tokens == search(frames[1:2, 9:])[0].tokens
    assert [found[0].tokens, found[2].tokens] == [whole[0].tokens, whole[2].tokens]


def test_nan_is_named_by_row_and_frame() -> None:
    search = random_search(0, 1000.0)
    frames = torch.zeros(2, 9, C, dtype=torch.float64)
    frames[1, 7, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN at frame 7 of this chunk in row 1: the encoder"):
        search(frames)
    assert not any(map(len, search(frames, torch.tensor([9, 7]))))
    frames[0, 3, 0] = torch.inf  # tanh makes it 1
    assert not any(map(len, search(frames, torch.tensor([9, 7]))))


@pytest.mark.parametrize("value", [math.nan, INF])
def test_broken_weights_do_not_pass_as_silence(value: float) -> None:
    search = random_search(0, 50.0)
    with torch.no_grad():
        search.joiner.output.bias[3] = value
    with pytest.raises(ValueError, match="or the model's weights hold NaN"):
        search(torch.zeros(1, 2, C, dtype=torch.float64))


def test_no_gradient_is_recorded_and_inference_mode_works() -> None:
    search = random_search(1, -1.0)
    frames = random_frames(1, 5).requires_grad_()
    expected, state = search.n_best(frames), search.initial_state(1)
    _, state = search.forward_chunk(frames, state)
    assert not any(tensor.requires_grad for _, tensor in named_tensors(state))
    with torch.inference_mode():
        assert search.n_best(frames) == expected
        _, state = search.forward_chunk(frames, search.initial_state(1))
    search.forward_chunk(frames, state)


def test_autocast_stream_opened_outside() -> None:
    search = random_search(1, -1.0)
    search.predictor.float()
    search.joiner.float()
    state = search.initial_state(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(3):
            _, state = search.forward_chunk(torch.randn(2, 2, C), state)
    assert state.history.dtype == torch.float32 and any(map(len, search.finish(state)))


def test_empty_input() -> None:
    search = random_search(0)
    state = search.initial_state(2)
    found, after = search.forward_chunk(random_frames(2, 0), state)
    assert found == [Hypothesis(), Hypothesis()] == search.finish(after)
    assert after.num_frames.tolist() == [0, 0]
    assert search(random_frames(0, 4)) == []
    assert search(random_frames(1, 0)) == [Hypothesis()]


def test_wrong_input_is_named() -> None:
    search = random_search(0)
    frames = random_frames(2, 4)
    with pytest.raises(ValueError, match=r"for the 3 rows of its state, got \(2, 4, 5\)"):
        search.forward_chunk(frames, search.initial_state(3))
    with pytest.raises(ValueError, match="num_frames of item 1 is 5, expected 0..4"):
        search(frames, torch.tensor([4, 5]))
    with pytest.raises(ValueError, match="max_symbols_per_frame must be >= 1, got 0"):
        random_search(0, max_symbols_per_frame=0)
    with pytest.raises(ValueError, match="got beam_size=2 and num_hypotheses=3"):
        random_search(0, beam_size=2, num_hypotheses=3)
    for name in ("pruning_margin", "expansion_margin", "max_open_labels"):
        with pytest.raises(ValueError, match=f"{name}.*> 0|{name} >= 1"):
            random_search(0, **{name: 0})
    with pytest.raises(ValueError, match="finite, got 0.0 and nan"):
        random_search(0, length_reward=math.nan)
    with pytest.raises(ValueError, match="beam_size=1 is greedy search, which takes no language"):
        random_search(0, beam_size=1, length_reward=1.0)
    predictor, _ = random_parts(0, num_labels=5)
    other = Joiner(encoder_size=C, predictor_size=C, num_labels=6)
    with pytest.raises(ValueError, match="must agree on the labels, got num_labels 5 and 6"):
        BeamSearch(predictor=predictor, joiner=other)
