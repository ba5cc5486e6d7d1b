from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch
from torch import Tensor

from sb_alexa.streaming.state import (
    State,
    cat,
    load_tensors,
    map_tensors,
    named_tensors,
    num_rows,
    rows,
    where,
)


@dataclass(frozen=True)
class Inner(State):
    count: Tensor


@dataclass(frozen=True)
class Outer(State):
    cache: Tensor
    parts: tuple[Inner, Inner]


def _state(*numbers: int) -> Outer:
    count = torch.tensor(numbers)
    return Outer(count[:, None] * torch.ones(3), (Inner(count), Inner(-count)))


def test_names_follow_the_structure() -> None:
    assert [name for name, _ in named_tensors(_state(1))] == [
        "cache",
        "parts.0.count",
        "parts.1.count",
    ]


def test_row_operations_reach_every_tensor() -> None:
    state = _state(10, 20, 30)
    assert num_rows(state) == 3
    chosen = rows(state, torch.tensor([2, 2, 0]))
    assert chosen.parts[1].count.tolist() == [-30, -30, -10]
    assert chosen.cache[:, 0].tolist() == [30.0, 30.0, 10.0]
    joined = cat([_state(1), _state(2, 3)])
    assert joined.parts[0].count.tolist() == [1, 2, 3] and joined.cache.shape == (3, 3)
    mixed = where(torch.tensor([True, False]), _state(1, 2), _state(8, 9))
    assert mixed.parts[0].count.tolist() == [1, 9]
    assert mixed.cache[:, 2].tolist() == [1.0, 9.0]


def test_nothing_can_be_assigned() -> None:
    with pytest.raises(FrozenInstanceError):
        _state(1).cache = torch.zeros(1)  # type: ignore[misc]


def test_a_number_in_a_state_is_refused() -> None:
    state = Outer(torch.zeros(1), (3, 4))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"found int; keep numbers as \(B,\) tensors"):
        map_tensors(lambda tensor: tensor, state)
    with pytest.raises(TypeError, match="holds tensors only, found int"):
        dict(named_tensors(state))


def test_states_of_other_structure_are_refused() -> None:
    with pytest.raises(ValueError):
        map_tensors(torch.add, (torch.zeros(1),), (torch.zeros(1), torch.zeros(1)))


def test_save_and_load_by_name() -> None:
    saved = {name: tensor.clone() for name, tensor in named_tensors(_state(4, 5))}
    assert load_tensors(_state(0, 0), saved).parts[1].count.tolist() == [-4, -5]
    saved["surplus"] = saved.pop("cache")
    with pytest.raises(ValueError, match=r"missing \['cache'\], unexpected \['surplus'\]"):
        load_tensors(_state(0, 0), saved)


def test_empty_states() -> None:
    with pytest.raises(ValueError, match="holds no tensor"):
        num_rows(())
    with pytest.raises(ValueError, match="at least one state"):
        cat([])
