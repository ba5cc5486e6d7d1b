"""The checks of `contracts` can fail: each finds the module that breaks its promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State
from tests import contracts, state_contracts
from tests.streaming_case import Case


@dataclass(frozen=True)
class Sum(State):
    total: Tensor


class RunningSum(StreamingModule[Sum]):
    """Correct: output t is the sum of the inputs up to t."""

    geometry = FrameGeometry(window=None)
    input_features = (2,)

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2))

    def initial_state(self, batch_size: int) -> Sum:
        return Sum(self.zeros(batch_size, 2))

    def forward_chunk(
        self, x: Tensor, state: Sum, num_steps: Tensor | None = None
    ) -> tuple[Tensor, Sum]:
        self.check_chunk(x, state)
        sums = state.total[:, None] + (x * self.gain).cumsum(dim=1)
        last = sums[:, -1] if x.shape[1] else state.total
        return sums, Sum(last.to(state.total.dtype))


class Forgetful(RunningSum):
    """Starts anew with each chunk."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        return super().forward_chunk(x, self.initial_state(len(x)))[0], state


class Clairvoyant(RunningSum):
    """Sees the whole chunk."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        y, state = super().forward_chunk(x, state)
        return y + x.sum(dim=1, keepdim=True), state


class Detached(RunningSum):
    """Stops gradients at the borders of chunks."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        return super().forward_chunk(x, Sum(state.total.detach()))


class Mutating(RunningSum):
    """Changes its state in place."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        y, after = super().forward_chunk(x, state)
        state.total.copy_(after.total.detach())
        return y, state


class Mixing(RunningSum):
    """Lets rows see each other."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        return super().forward_chunk(x + x.mean(dim=0, keepdim=True), state)


class Growing(RunningSum):
    """Keeps all it has heard."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        y, _ = super().forward_chunk(x, Sum(state.total[:, :2]))
        return y, Sum(torch.cat([y[:, -1] if x.shape[1] else state.total, state.total], dim=1))


class Lenient(RunningSum):
    """Broadcasts a state of one row over any batch."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        return super().forward_chunk(x, Sum(state.total.expand(len(x), 2)))


class Changeable(RunningSum):
    """Answers with a state of another precision."""

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        y, after = super().forward_chunk(x, state)
        return y, Sum(after.total.bfloat16())


class Hidden(RunningSum):
    """Remembers something beside its state."""

    memory: Tensor | None = None

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        y, after = super().forward_chunk(x, state)
        y = y if self.memory is None else y + self.memory[: len(y)]
        self.memory = torch.ones(len(y), 1, 2)
        return y, after


@dataclass(frozen=True)
class Log(State):
    """Sums after each step so far, in a storage that is declared to be shared."""

    APPENDED_IN_PLACE = frozenset({"sums"})

    sums: Tensor
    length: Tensor


class Scribbling(RunningSum):
    """Appends to a shared storage without asking whether another stream has."""

    num_slots = 1000

    def initial_state(self, batch_size: int) -> Any:
        count = torch.ones(batch_size, dtype=torch.int64)
        return Log(self.zeros(batch_size, self.num_slots, 2), count)

    def forward_chunk(self, x: Any, state: Any, num_steps: Any = None) -> Any:
        row = torch.arange(len(x))
        before = state.sums[row, (state.length - 1) % self.num_slots]
        y, _ = super().forward_chunk(x, Sum(before))
        for step in range(x.shape[1]):
            state.sums[row, (state.length + step) % self.num_slots] = y[:, step].detach()
        return y, Log(state.sums, state.length + x.shape[1])


class Circling(Scribbling):
    """Its storage is a ring, so that a stream that runs ahead overwrites what others hold."""

    num_slots = 20


@dataclass(frozen=True)
class Broken(Case):
    kind: type[StreamingModule[Any]] = RunningSum

    def build(self, device: str = "cpu", dtype: torch.dtype = torch.float64) -> Any:
        return self.kind().to(device=device, dtype=dtype).eval()


@pytest.mark.parametrize("check", contracts.CHECKS, ids=lambda check: check.__name__)
def test_a_correct_module_passes(check: Callable[[Case, str], None]) -> None:
    check(Broken("correct", ""), "cpu")


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Forgetful, contracts.check_chunked_equals_whole),
        (Clairvoyant, contracts.check_chunked_equals_whole),
        (Clairvoyant, contracts.check_look_ahead),
        (Detached, contracts.check_gradients),
        (Mutating, state_contracts.check_replay),
        (Mutating, state_contracts.check_forks),
        (Scribbling, state_contracts.check_forks),
        (Circling, state_contracts.check_held_state),
        (Hidden, state_contracts.check_inference_mode),
        (Mixing, contracts.check_rows_are_independent),
        (Mixing, contracts.check_unequal_lengths),
        (Growing, state_contracts.check_constant_structure),
        (Lenient, contracts.check_misuse),
        (Changeable, contracts.check_reduced_precision),
        (Mixing, state_contracts.check_row_operations),
        (Hidden, state_contracts.check_save_and_load),
        (Forgetful, contracts.check_speechbrain_interface),
    ],
)
def test_a_broken_module_is_found(
    kind: type[StreamingModule[Any]], check: Callable[[Case, str], None]
) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(Broken(kind.__name__, "", kind=kind), "cpu")
