"""Immutable streaming state and the row operations on it.

A state is a frozen dataclass that derives from `State` and holds tensors, tuples and other states
only; dimension 0 of every tensor is the batch. Beam reordering, batching of live streams, per-row
reset and hold are `rows`, `cat` and `where`, written once here for all modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor


class State:
    """Base of every streaming state: a frozen dataclass of tensors, tuples and states."""


S = TypeVar("S")


def map_tensors(function: Callable[..., Tensor], state: S, *others: S) -> S:
    """Apply a function to the corresponding tensors of states of one structure.

    Arguments
    ---------
    function : Callable
        Takes one tensor from each state and returns the tensor of the result.
    state : State | tuple | Tensor
        The first state; the result has its structure.
    *others : State | tuple | Tensor
        States of the same structure.

    Returns
    -------
    State | tuple | Tensor
        A new state; nothing is changed in place.

    Raises
    ------
    TypeError
        If something other than a tensor, a tuple or a state is found.

    Example
    -------
    >>> map_tensors(lambda a, b: a + b, (torch.ones(2),), (torch.ones(2),))
    (tensor([2., 2.]),)
    """
    if isinstance(state, Tensor):
        return function(state, *others)  # type: ignore[return-value]
    if isinstance(state, tuple):
        parts = zip(state, *others, strict=True)  # type: ignore[call-overload]
        return tuple(map_tensors(function, *part) for part in parts)  # type: ignore[return-value]
    if isinstance(state, State):
        values = {}
        for field in fields(state):  # type: ignore[arg-type]
            column = [getattr(one, field.name) for one in (state, *others)]
            values[field.name] = map_tensors(function, *column)
        return type(state)(**values)
    raise TypeError(
        f"a streaming state holds tensors, tuples and states only, found {type(state).__name__}; "
        "keep numbers as (B,) tensors"
    )


def named_tensors(state: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Walk over the tensors of a state in a fixed order, with dotted names."""
    if isinstance(state, Tensor):
        yield prefix, state
    elif isinstance(state, tuple):
        for number, part in enumerate(state):
            yield from named_tensors(part, f"{prefix}.{number}" if prefix else str(number))
    elif isinstance(state, State):
        for field in fields(state):  # type: ignore[arg-type]
            name = f"{prefix}.{field.name}" if prefix else field.name
            yield from named_tensors(getattr(state, field.name), name)
    else:
        raise TypeError(f"a streaming state holds tensors only, found {type(state).__name__}")


def num_rows(state: Any) -> int:
    """The batch size of a state."""
    for _, tensor in named_tensors(state):
        return tensor.shape[0]
    raise ValueError("the state holds no tensor, so it has no batch size")


def rows(state: S, index: Tensor) -> S:
    """Select rows of a state, in any order and with repetition (beam reordering).

    Arguments
    ---------
    state : State
        A state of B rows.
    index : Tensor
        (N,) int64 row numbers.

    Returns
    -------
    State
        A state of N rows.

    Example
    -------
    >>> rows((torch.tensor([10, 20, 30]),), torch.tensor([2, 2, 0]))
    (tensor([30, 30, 10]),)
    """
    return map_tensors(lambda tensor: tensor.index_select(0, index.to(tensor.device)), state)


def row_range(state: S, start: int, count: int) -> S:
    """Neighbouring rows of a state, without a copy.

    Example
    -------
    >>> row_range((torch.tensor([10, 20, 30]),), 1, 2)
    (tensor([20, 30]),)
    """
    return map_tensors(lambda tensor: tensor[start : start + count], state)


def cat(states: Sequence[S]) -> S:
    """Put the rows of several states under one another (several live streams become one batch).

    Example
    -------
    >>> cat([(torch.tensor([1]),), (torch.tensor([2, 3]),)])
    (tensor([1, 2, 3]),)
    """
    if not states:
        raise ValueError("cat needs at least one state")
    return map_tensors(lambda *tensors: torch.cat(tensors), states[0], *states[1:])


def where(mask: Tensor, state: S, other: S) -> S:
    """Take rows of `state` where the mask is True and of `other` elsewhere (reset and hold of
    single rows).

    Arguments
    ---------
    mask : Tensor
        (B,) bool.
    state : State
        Rows for True.
    other : State
        Rows for False, same structure.

    Returns
    -------
    State
        A state of B rows.

    Example
    -------
    >>> where(torch.tensor([True, False]), (torch.tensor([1, 2]),), (torch.tensor([8, 9]),))
    (tensor([1, 9]),)
    """

    def choose(yes: Tensor, no: Tensor) -> Tensor:
        return torch.where(mask.view(-1, *[1] * (yes.dim() - 1)), yes, no)

    return map_tensors(choose, state, other)


def load_tensors(template: S, tensors: dict[str, Tensor]) -> S:
    """Fill a state of known structure with saved tensors (`dict(named_tensors(state))`).

    Arguments
    ---------
    template : State
        A state of the same module, for example a fresh one.
    tensors : dict
        Tensor by dotted name.

    Returns
    -------
    State
        The saved state.

    Raises
    ------
    ValueError
        If names are missing or unexpected: the state belongs to another module.
    """
    names = [name for name, _ in named_tensors(template)]
    missing, unexpected = set(names) - set(tensors), set(tensors) - set(names)
    if missing or unexpected:
        raise ValueError(
            f"the saved state belongs to another module: missing {sorted(missing)}, "
            f"unexpected {sorted(unexpected)}"
        )
    ordered = iter(names)
    return map_tensors(lambda _: tensors[next(ordered)], template)
