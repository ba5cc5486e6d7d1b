"""What the state of every streaming module promises, as reusable checks; see `contracts`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from sb_alexa.streaming.state import State, cat, load_tensors, named_tensors, rows, where
from tests.streaming_case import Case, assert_equal, stream, whole_hops

# More than the encoders with a cache write before they move it.
MANY_HOPS = 150


def assert_repeated(actual: Tensor, expected: Tensor, state: Any, message: str) -> None:
    """The same bits; where a shared storage may have been moved, sums of another order."""
    if len(list(unwritten_tensors(state))) == len(list(named_tensors(state))):
        assert torch.equal(actual, expected), f"{message}: not the same bits"
    assert_equal(actual, expected, message)


def unwritten_tensors(state: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """`named_tensors` without those that a state declares to be written behind its own length.

    Such storage is shared by the states of one stream. That no state sees what another has written
    is for `check_forks` and `check_held_state` to find out, by what they go on to compute.
    """
    if isinstance(state, tuple):
        for number, part in enumerate(state):
            yield from unwritten_tensors(part, f"{prefix}.{number}")
    elif isinstance(state, State):
        for field in fields(state):  # type: ignore[arg-type]
            if field.name not in getattr(state, "APPENDED_IN_PLACE", ()):
                yield from unwritten_tensors(getattr(state, field.name), f"{prefix}.{field.name}")
    else:
        yield prefix, state


def check_replay(case: Case, device: str) -> None:
    """A state is never changed: processing a chunk again gives the same."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(2, case.steps(6), device))
    middle = 3 * module.geometry.hop
    with torch.no_grad():
        _, state = module.forward_chunk(x[:, :middle], module.initial_state(2))
        frozen = [tensor.clone() for _, tensor in unwritten_tensors(state)]
        first, _ = module.forward_chunk(x[:, middle:], state)
        module.forward_chunk(x[:, :middle], state)
        second, _ = module.forward_chunk(x[:, middle:], state)
    assert_repeated(second, first, state, "the second time")
    for (name, tensor), before in zip(unwritten_tensors(state), frozen, strict=True):
        assert torch.equal(tensor, before), f"{name} was changed in place"


def check_forks(case: Case, device: str) -> None:
    """Two streams that go on from one state, a chunk of each in turn, never hear each other."""
    module = case.build(device)
    hop = module.geometry.hop
    for batch in (1, 2):
        x = whole_hops(module, case.inputs(batch, case.steps(10), device))
        early, late = x[:, : 4 * hop], x[:, 4 * hop :]
        continuations = [late, late.flip(1)]
        with torch.no_grad():
            alone = [stream(module, torch.cat([early, c], 1), (2,))[0] for c in continuations]
            _, state = stream(module, early, (2,))
            states = [state, state]
            outputs: list[list[Tensor]] = [[], []]
            for start in range(0, late.shape[1], 2 * hop):
                for branch, continuation in enumerate(continuations):
                    chunk = continuation[:, start : start + 2 * hop]
                    y, states[branch] = module.forward_chunk(chunk, states[branch])
                    outputs[branch].append(y)
        for ours, expected in zip(outputs, alone, strict=True):
            y = torch.cat(ours, dim=1)
            assert_repeated(y, expected[:, 4:], state, f"a fork, batch {batch}")


def check_held_state(case: Case, device: str) -> None:
    """A state that waits while the stream runs far ahead goes on as if nothing had been."""
    module = case.build(device)
    hop = module.geometry.hop
    for batch in (1, 2):
        x = whole_hops(module, case.inputs(batch, case.steps(MANY_HOPS), device))
        late = x[:, 4 * hop : 8 * hop]
        with torch.no_grad():
            _, state = stream(module, x[:, : 4 * hop], (2,))
            expected, _ = stream(module, late, (2,), state)
            stream(module, x[:, 4 * hop :], (7,), state)
            y, _ = stream(module, late, (2,), state)
        assert_repeated(y, expected, state, f"a state that was held, batch {batch}")


def check_inference_mode(case: Case, device: str) -> None:
    """A stream moves between PyTorch's inference mode and the outside at any chunk."""
    module = case.build(device)
    hop = module.geometry.hop
    for batch in (1, 2):
        x = whole_hops(module, case.inputs(batch, case.steps(8), device))
        with torch.no_grad():
            expected, _ = stream(module, x, (2,))
        with torch.inference_mode():
            state, outputs = module.initial_state(batch), []
        for number, part in enumerate(x.split(2 * hop, dim=1)):
            with torch.inference_mode() if number % 2 == 0 else torch.no_grad():
                y, state = module.forward_chunk(part, state)
            outputs.append(y)
        y = torch.cat(outputs, dim=1)
        assert_repeated(y, expected, state, f"in and out of inference mode, batch {batch}")


def check_row_operations(case: Case, device: str) -> None:
    """Reordering, joining, resetting and holding rows of a state does what it says."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(3, case.steps(8), device))
    middle = 4 * module.geometry.hop
    early, late = x[:, :middle], x[:, middle:]
    with torch.no_grad():
        _, state = stream(module, early, (4,))
        expected, _ = stream(module, late, (2,), state)

        order = torch.tensor([2, 0, 0, 1], device=device)
        y, _ = stream(module, late[order], (2,), rows(state, order))
        assert_equal(y, expected[order], "reordered rows")

        alone = [stream(module, early[row : row + 1], (4,))[1] for row in range(3)]
        y, _ = stream(module, late, (2,), cat(alone))
        assert_equal(y, expected, "rows joined from single streams")

        chosen = torch.tensor([False, True, False], device=device)
        fresh = module.initial_state(3)
        y, _ = stream(module, late, (2,), where(chosen, fresh, state))
        assert_equal(y[[0, 2]], expected[[0, 2]], "rows beside the reset one")
        assert_equal(y[1], stream(module, late, (2,))[0][1], "the reset row")

        _, advanced = stream(module, late, (2,), state)
        y, _ = stream(module, late, (2,), where(chosen, state, advanced))
        assert_equal(y[1], expected[1], "the held row")


def check_constant_structure(case: Case, device: str) -> None:
    """From the first chunk on a state has the same tensors of the same shapes and types."""
    module = case.build(device)
    x = case.inputs(3, case.steps(9, ragged=False), device)
    hop = module.geometry.hop

    def structure(state: Any) -> list[Any]:
        assert isinstance(state, State | tuple)
        tensors = list(named_tensors(state))
        assert tensors, "a state without tensors has no batch size"
        assert all(tensor.shape[0] == 3 for _, tensor in tensors), "dimension 0 must be the batch"
        return [(name, tensor.shape, tensor.dtype, tensor.device) for name, tensor in tensors]

    with torch.no_grad():
        state = module.initial_state(3)
        expected, start = structure(state), 0
        for hops in (1, 0, 5, 2, 1):
            _, state = module.forward_chunk(x[:, start : start + hops * hop], state)
            start += hops * hop
            assert structure(state) == expected


def check_save_and_load(case: Case, device: str) -> None:
    """A stream that is saved to a file and taken up by another process goes on exactly."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(2, case.steps(8), device))
    middle = 4 * module.geometry.hop
    with torch.no_grad():
        _, state = stream(module, x[:, :middle], (2,))
        expected, _ = stream(module, x[:, middle:], (2,), state)
        file = io.BytesIO()
        torch.save({"module": module.state_dict(), "state": dict(named_tensors(state))}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        restored = case.build(device)
        restored.load_state_dict(saved["module"])
        state = load_tensors(restored.initial_state(2), saved["state"])
        y, _ = stream(restored, x[:, middle:], (2,), state)
    assert_repeated(y, expected, state, "a restored stream")
    with pytest.raises(ValueError, match="another module"):
        load_tensors(state, {"nonsense": torch.zeros(2)})


STATE_CHECKS: tuple[Callable[[Case, str], None], ...] = (
    check_replay,
    check_forks,
    check_held_state,
    check_inference_mode,
    check_row_operations,
    check_constant_structure,
    check_save_and_load,
)
