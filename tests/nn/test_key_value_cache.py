from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sb_alexa.nn.key_value_cache import BEFORE, EMPTY, KeyValueCache
from sb_alexa.streaming.state import named_tensors, num_rows

LAYERS, HEADS, SLOTS, WIDTH = 2, 2, 8, 6


def empty(batch: int = 1, *, same_frames: bool = False) -> KeyValueCache:
    return KeyValueCache.empty(
        torch.zeros(batch, WIDTH, dtype=torch.float64),
        num_layers=LAYERS,
        nhead=HEADS,
        num_slots=SLOTS,
        same_frames=same_frames,
    )


def filled(frames: list[list[list[list[int]]]]) -> KeyValueCache:
    """A cache of rows, layers and heads that keep these frames; what is kept is the number of the
    frame, to be recognised when it has moved."""
    cache = empty(len(frames))
    length = cache.length.clone()
    for b, row in enumerate(frames):
        for n, layer in enumerate(row):
            for h, numbers in enumerate(layer):
                length[b, n, h] = len(numbers)
                cache.positions[b, n, h, : len(numbers)] = torch.tensor(numbers)
                for slot, number in enumerate(numbers):
                    cache.memory[n][b, h, slot] = number
    return replace(cache, length=length, written=length.clone())


# Two streams of different ages, and heads that keep different frames.
FRAMES = [
    [[[0, 2, 3, 7], [6]], [[], [1, 4, 5, 6, 7]]],
    [[[90, 97], [96, 98]], [[99], [92, 93, 94]]],
]
NEXT = torch.tensor([8, 100])
CONTEXT = 4


def kept(cache: KeyValueCache) -> list[list[list[list[int]]]]:
    """The frames that each head holds, read from the positions, which the memory must match."""
    found = []
    for b in range(num_rows(cache)):
        layers = []
        for n in range(LAYERS):
            heads = []
            for h in range(HEADS):
                length = int(cache.length[b, n, h])
                begin = int((cache.positions[b, n, h] == BEFORE).sum())
                numbers = cache.positions[b, n, h, begin:length]
                stored = cache.memory[n][b, h, begin:length]
                assert torch.equal(stored, numbers[:, None].double().expand_as(stored))
                assert (cache.positions[b, n, h, length:] == EMPTY).all()
                heads.append(numbers.tolist())
            layers.append(heads)
        found.append(layers)
    return found


def visible(first: Tensor) -> list[list[list[list[int]]]]:
    return [
        [
            [numbers[int(first[b, n, h]) :] for h, numbers in enumerate(layer)]
            for n, layer in enumerate(row)
        ]
        for b, row in enumerate(FRAMES)
    ]


def test_an_empty_cache_holds_nothing() -> None:
    for same_frames, places in ((False, (LAYERS, HEADS)), (True, (1, 1))):
        cache = empty(3, same_frames=same_frames)
        assert cache.num_slots == SLOTS
        assert [layer.shape for layer in cache.memory] == [(3, HEADS, SLOTS, WIDTH)] * LAYERS
        assert cache.memory[0].dtype == torch.float64
        assert cache.positions.shape == (3, *places, SLOTS)
        assert (cache.positions == EMPTY).all()
        assert not cache.length.any() and not cache.written.any()


def test_the_first_visible_slot_is_that_of_the_earliest_frame_in_reach() -> None:
    first = filled(FRAMES).first_visible(NEXT, CONTEXT)
    assert visible(first) == [
        [[[7], [6]], [[], [4, 5, 6, 7]]],
        [[[97], [96, 98]], [[99], []]],
    ]
    assert not filled(FRAMES).first_visible(NEXT, None).any()


def test_a_storage_with_room_is_used_as_it_is() -> None:
    cache = filled(FRAMES)
    first = cache.first_visible(NEXT, CONTEXT)
    with torch.no_grad():
        same, where = cache.with_room(SLOTS - 5, first)
    assert same is cache and torch.equal(where, first)


def assert_renewed(cache: KeyValueCache, num_frames: int = 1) -> None:
    """The cache gets a storage of its own with what is visible, and the old one stays as it is."""
    first = cache.first_visible(NEXT, CONTEXT)
    before = {name: tensor.clone() for name, tensor in named_tensors(cache)}
    new, where = cache.with_room(num_frames, first)
    assert kept(new) == visible(first)
    assert torch.equal(where, (new.positions == BEFORE).sum(dim=-1))
    assert torch.equal(new.length, new.length.amax(dim=0, keepdim=True).expand_as(new.length))
    assert torch.equal(new.written, new.length)
    assert new.num_slots == SLOTS
    for name, tensor in named_tensors(cache):
        assert torch.equal(tensor, before[name]), name
        assert tensor.data_ptr() != dict(named_tensors(new))[name].data_ptr(), name


def test_a_full_storage_is_left_for_a_new_one() -> None:
    with torch.no_grad():
        assert_renewed(filled(FRAMES), SLOTS - 4)


@pytest.mark.parametrize("row", [0, 1])
def test_what_another_stream_has_appended_is_not_overwritten(row: int) -> None:
    """A fork wrote one slot of one head behind the length that this state knows."""
    cache = filled(FRAMES)
    cache.positions[row, 1, 1, int(cache.length[row, 1, 1])] = int(NEXT[row])
    cache.written[row, 1, 1] += 1
    with torch.no_grad():
        assert_renewed(cache)


def test_with_gradients_every_step_has_its_own_storage() -> None:
    assert_renewed(filled(FRAMES))


def test_a_storage_in_a_graph_is_not_written() -> None:
    cache = filled(FRAMES)
    cache.memory[1].requires_grad_()
    with torch.no_grad():
        assert_renewed(cache)


def test_gradients_flow_through_a_renewed_storage() -> None:
    cache = filled(FRAMES)
    cache.memory[1].requires_grad_()
    first = cache.first_visible(NEXT, CONTEXT)
    new, _ = cache.with_room(1, first)
    # Layer 1 of the first stream: nothing of head 0, and of head 1 four of five frames.
    new.memory[1][0][
        (new.positions[0, 1] != EMPTY) & (new.positions[0, 1] != BEFORE)
    ].sum().backward()
    gradient = cache.memory[1].grad
    assert gradient is not None
    assert gradient[0, 1, :, 0].tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert not gradient[0, 0].any()


def test_a_renewed_storage_holds_nothing_but_visible_frames() -> None:
    """A NaN that has left the window is gone: a masked product with it would be NaN for ever."""
    cache = filled(FRAMES)
    first = cache.first_visible(NEXT, CONTEXT)
    for layer, memory in enumerate(cache.memory):
        for row, head in torch.cartesian_prod(*map(torch.arange, memory.shape[:2])).tolist():
            memory[row, head, : first[row, layer, head]] = torch.nan
            if int(cache.length[row, layer, head]) > int(first[row, layer, head]):
                memory[row, head, cache.length[row, layer, head] :] = torch.nan
    with torch.no_grad():
        new, _ = cache.with_room(SLOTS - 4, first)
    for layer, memory in enumerate(new.memory):
        used = ((new.positions[:, layer] != EMPTY) & (new.positions[:, layer] != BEFORE)).any(-1)
        assert torch.isfinite(memory[used]).all()


def test_tensors_of_inference_mode_are_left_outside_of_it() -> None:
    with torch.inference_mode():
        cache = filled(FRAMES)
        first = cache.first_visible(NEXT, CONTEXT)
        assert cache.with_room(1, first)[0] is cache
    with torch.no_grad():
        assert_renewed(cache)
        new, _ = cache.with_room(1, first)
        new.positions[0, 0, 0, 1] = 8  # would raise
