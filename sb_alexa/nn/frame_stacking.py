"""Stacking of neighbouring frames, which lowers the frame rate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class FrameStackingState(State):
    """Nothing is kept: chunks hold whole stacks. `batch`, (B, 0), carries the number of rows."""

    batch: Tensor


class FrameStacking(StreamingModule[FrameStackingState]):
    """Concatenate every `num_frames` frames into one.

    Arguments
    ---------
    num_features : int
        Features of one frame.
    num_frames : int
        Frames in a stack, which is also the step: 3 frames of 10 ms give one of 30 ms.

    Shape
    -----
    input : (B, T, num_features)
    output : (B, T / num_frames, num_frames * num_features)

    Streaming
    ---------
    No look-ahead beyond the stack itself, empty state.

    Example
    -------
    >>> import torch
    >>> FrameStacking(num_features=1, num_frames=3)(torch.arange(6.0).view(1, 6, 1)).tolist()
    [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]]
    """

    def __init__(self, *, num_features: int, num_frames: int = 3) -> None:
        super().__init__()
        if num_features < 1 or num_frames < 1:
            raise ValueError(
                f"num_features and num_frames must be >= 1, got {num_features} and {num_frames}"
            )
        self.num_frames = num_frames
        self.input_features = (num_features,)
        self.geometry = FrameGeometry(hop=num_frames, window=num_frames)

    def initial_state(self, batch_size: int) -> FrameStackingState:
        return FrameStackingState(self.zeros(batch_size, 0))

    def forward_chunk(
        self, x: Tensor, state: FrameStackingState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, FrameStackingState]:
        self.check_chunk(x)
        batch, steps, features = x.shape
        return x.reshape(batch, steps // self.num_frames, self.num_frames * features), state
