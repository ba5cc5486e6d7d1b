"""A module that looks ahead, since no layer of the package does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class DelayState(State):
    past: Tensor


class SumOfNext(StreamingModule[DelayState]):
    """Output k is the sum of the inputs k and k + 1: one step of look-ahead."""

    geometry = FrameGeometry(hop=1, window=2, look_ahead=1)
    input_features = (2,)

    def initial_state(self, batch_size: int) -> DelayState:
        return DelayState(torch.zeros(batch_size, 1, 2, dtype=torch.float64))

    def forward_chunk(
        self, x: Tensor, state: DelayState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, DelayState]:
        self.check_chunk(x, state)
        joined = torch.cat([state.past, x], dim=1)
        return joined[:, 1:] + joined[:, :-1], DelayState(joined[:, -1:].clone())
