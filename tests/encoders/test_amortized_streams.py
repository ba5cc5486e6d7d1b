"""Streams: in any chunks, of any ages, with any gates side by side, as the whole utterance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.encoders.amortized import TOGGLES
from sb_alexa.encoders.amortized_reference import masked_forward
from sb_alexa.encoders.transformer import SPARE_SLOTS
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.key_value_cache import BEFORE
from sb_alexa.streaming.state import cat, rows, where
from tests.encoders.tiny_transformers import (
    GROUPS,
    KINDS,
    RARE,
    USUAL,
    amortized,
    assert_close,
    assert_same_gates,
    features,
    in_chunks,
    joined,
    lowest_block,
)


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("toggles", TOGGLES)
@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", GROUPS)
def test_a_stream_equals_the_whole(
    groups: int, kind: str, dual: bool, toggles: str, every: int
) -> None:
    """The gates too; the general path for three streams, the short one for one."""
    encoder = amortized(kind, dual=dual, toggles=toggles, toggle_every_frames=every, groups=groups)
    x = features(3, 21)
    with torch.no_grad():
        whole, gates = encoder.forward_with_gates(x)
        for chunks in ((1,), (2, 5, 3), (21,)):
            for batch in (1, 3):
                y, found, _ = in_chunks(encoder, x[:batch], chunks)
                assert_close(y, whole[:batch])
                assert_same_gates(
                    found, Gates(gates.feed_forward[:batch], gates.query[:batch], gates.key[:batch])
                )


@pytest.mark.parametrize("left_context_frames", [0, 20, 500])
@pytest.mark.parametrize("rates", [USUAL, RARE, (1.0, 1.0, 1.0)], ids=["usual", "rare", "all"])
@pytest.mark.parametrize("batch", [1, 2])
def test_long_streams_and_long_chunks(
    batch: int, rates: tuple[float, float, float], left_context_frames: int
) -> None:
    """Longer than the spare slots, so that the cache has to move; chunks longer than them too."""
    encoder = amortized("random", rates=rates, left_context_frames=left_context_frames, dual=True)
    x = features(batch, 3 * SPARE_SLOTS)
    with torch.no_grad():
        whole = encoder(x)
        for chunks in ((5,), (SPARE_SLOTS + 30, 3), (SPARE_SLOTS, 7)):
            assert_close(in_chunks(encoder, x, chunks)[0], whole)


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("kind", ["feed_forward", "recurrent", "random"])
def test_streams_of_different_ages_and_gates_stand_in_one_batch(kind: str, every: int) -> None:
    encoder = amortized(kind, dual=True, toggle_every_frames=every)
    x, ages = features(4, 150), (0, 3, SPARE_SLOTS + 1, 101)
    with torch.no_grad():
        whole, gates = encoder.forward_with_gates(x)
        states = [in_chunks(encoder, x[row : row + 1, :age], (4,))[2] if age else
                  encoder.initial_state(1) for row, age in enumerate(ages)]  # fmt: skip
        late = torch.stack([x[row, age : age + 40] for row, age in enumerate(ages)])
        y, found, state = in_chunks(encoder, late[:, :20], (3, 1), cat(states))
        order = torch.tensor([2, 0, 3, 1])
        after, _, _ = in_chunks(encoder, late[order, 20:], (1, 6), rows(state, order))
    for row, age in enumerate(ages):
        assert_close(y[row], whole[row, age : age + 20])
        assert torch.equal(found.key[row], gates.key[row, age : age + 20])
        assert_close(after[order.tolist().index(row)], whole[row, age + 20 : age + 40])
    assert not torch.equal(found.key[0], found.key[1])


def test_a_stream_starts_anew_beside_one_that_goes_on() -> None:
    encoder = amortized("recurrent", toggle_every_frames=5)
    x, other = features(2, 60), features(2, 60, seed=1)
    with torch.no_grad():
        _, _, state = in_chunks(encoder, x[:, :33], (2,))
        mixed = where(torch.tensor([False, True]), encoder.initial_state(2), state)
        late = torch.stack([x[0, 33:], other[1, :27]])
        y, _, _ = in_chunks(encoder, late, (4, 1), mixed)
        assert_close(y[0], encoder(x)[0, 33:])
        assert_close(y[1], encoder(other)[1, :27])


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_stream_that_moved_with_others_goes_on_alone(chunk: int) -> None:
    """In a renewed cache all end together: those that keep less begin behind slots of nothing."""
    encoder, x = amortized("feed_forward", dual=True), features(3, 4 * SPARE_SLOTS + 20)
    moved = 4 * SPARE_SLOTS
    with torch.no_grad():
        whole = encoder(x)
        _, _, state = in_chunks(encoder, x[:, :moved], (5,))
        assert bool((state.cache.positions == BEFORE).any())
        for row in range(3):
            alone = rows(state, torch.tensor([row]))
            y, _, _ = in_chunks(encoder, x[row : row + 1, moved:], (chunk,), alone)
            assert_close(y, whole[row : row + 1, moved:])


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    toggles=st.sampled_from(TOGGLES),
    dual=st.booleans(),
    every=st.integers(1, 6),
    left_context_frames=st.integers(0, 12),
    groups=st.sampled_from([1, 2, 16]),
    chunks=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    data=st.data(),
)
def test_any_history_of_a_batch(
    kind, toggles, dual, every, left_context_frames, groups, chunks, data
) -> None:
    """Each step advances a batch of rows picked from all streams; some states are thrown away."""
    encoder = amortized(
        kind,
        toggles=toggles,
        dual=dual,
        toggle_every_frames=every,
        left_context_frames=left_context_frames,
        groups=groups,
    )
    x = features(3, 100)
    with torch.no_grad():
        whole = encoder(x)
        states, ages = [encoder.initial_state(1) for _ in range(3)], [0, 0, 0]
        for frames in chunks:
            picked = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
            chunk = torch.stack([x[row, ages[row] : ages[row] + frames] for row in picked])
            state = cat([states[row] for row in picked])
            if data.draw(st.booleans()):  # a look ahead, that is not kept
                encoder.forward_chunk(-chunk, state)
            y, state = encoder.forward_chunk(chunk, state)
            for place, row in enumerate(picked):
                assert_close(y[place], whole[row, ages[row] : ages[row] + frames])
                states[row] = rows(state, torch.tensor([place]))
                ages[row] += frames


@pytest.mark.parametrize("batch", [1, 2])
def test_a_graph_and_what_follows_it_leave_each_other_alone(batch: int) -> None:
    """A step with gradients, then steps without: backward still finds what it has read."""
    encoder, x = amortized(), features(batch, 12)
    y, _, state = in_chunks(encoder, x[:, :5], (2,))
    with torch.no_grad():
        continued, _, _ = in_chunks(encoder, x[:, 5:], (1,), state)
        assert_close(continued, encoder(x)[:, 5:])
    y.square().sum().backward()
    gradient = lowest_block(encoder).attention_in.weight.grad
    assert gradient is not None and bool(gradient.any())


@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_with_gradients_that_keeps_nothing_is_a_fork_too(batch: int) -> None:
    encoder, x = amortized(), features(batch, 12)
    with torch.no_grad():
        expected = encoder(x)[:, 5:]
        _, _, state = in_chunks(encoder, x[:, :5], (5,))
    encoder.threshold = 1.0
    _, _, fork = in_chunks(encoder, x[:, 5:6], (1,), state)
    encoder.threshold = 0.5
    with torch.no_grad():
        first, after = encoder.forward_chunk(x[:, 5:7], state)
        encoder.forward_chunk(-x[:, 5:7], fork)
        rest, _, _ = in_chunks(encoder, x[:, 7:], (2,), after)
    assert_close(torch.cat([first, rest], dim=1), expected)


def test_the_threshold_turns_while_a_stream_runs() -> None:
    """The cache holds keys of all settings."""
    encoder, x = amortized(), features(2, 40)
    outputs, gates, state = [], [], encoder.initial_state(2)
    with torch.no_grad():
        for part, threshold in zip(x.split(10, dim=1), (0.5, 0.0, 1.0, 0.4), strict=True):
            encoder.threshold = threshold
            y, found, state = in_chunks(encoder, part, (3,), state)
            outputs.append(y)
            gates.append(found)
        assert_close(torch.cat(outputs, dim=1), masked_forward(encoder, x, joined(gates)))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_costs_what_it_adds(batch: int) -> None:
    """The keys stay where they are until the storage is full, once in so many frames."""
    encoder = amortized("random", rates=(0.5, 1.0, 0.5), left_context_frames=10)
    x, state, places = features(batch, 4 * SPARE_SLOTS), encoder.initial_state(batch), []
    with torch.no_grad():
        for part in x.split(2, dim=1):
            _, state = encoder.forward_chunk(part, state)
            places.append(state.cache.memory[0].data_ptr())
    moves = sum(before != after for before, after in zip(places, places[1:], strict=False))
    assert moves <= 4


def test_an_empty_chunk_changes_nothing() -> None:
    encoder, x = amortized("recurrent", toggle_every_frames=2), features(2, 9)
    with torch.no_grad():
        _, _, state = in_chunks(encoder, x[:, :4], (4,))
        y, gates, same = encoder.forward_chunk_with_gates(x[:, :0], state)
        assert y.shape == (2, 0, 5) and gates.key.shape == (2, 0, 4, 3)
        assert gates.key.dtype == torch.bool
        after, _, _ = in_chunks(encoder, x[:, 4:], (5,), same)
        assert_close(after, encoder(x)[:, 4:])


def test_a_cache_grows_by_kept_keys_only() -> None:
    encoder, x = (
        amortized("random", rates=(0.5, 0.3, 0.5), left_context_frames=100),
        features(2, 50),
    )
    with torch.no_grad():
        _, gates, state = in_chunks(encoder, x, (5,))
    assert torch.equal(state.cache.length, gates.key.sum(dim=1))
    assert state.cache.length.unique().numel() > 3


@pytest.mark.parametrize("batch", [1, 3])
def test_a_step_that_fails_leaves_the_state_usable(batch: int) -> None:
    """It has written keys behind the state's length; the next step must not see them."""
    encoder = amortized("feed_forward", dual=True)
    x = features(batch, 16)
    with torch.no_grad():
        whole = encoder(x)
        _, _, state = in_chunks(encoder, x[:, :8], (4,))
        forward = encoder.arbitrators[1].forward_chunk

        def failing(*_: object) -> None:
            raise KeyboardInterrupt

        encoder.arbitrators[1].forward_chunk = failing  # type: ignore[assignment,method-assign]
        with pytest.raises(KeyboardInterrupt):
            encoder.forward_chunk(features(batch, 8, seed=1), state)
        encoder.arbitrators[1].forward_chunk = forward  # type: ignore[method-assign]
        assert_close(encoder.forward_chunk(x[:, 8:9], state)[0], whole[:, 8:9])
        assert_close(encoder.forward_chunk(x[:, 8:], state)[0], whole[:, 8:])
