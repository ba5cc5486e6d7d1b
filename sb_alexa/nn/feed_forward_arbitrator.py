"""Arbitrator that looks at one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.nn.arbitrator import Arbitrator
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class FeedForwardArbitratorState(State):
    """Nothing is kept. `batch`, (B, 0), carries the number of rows."""

    batch: Tensor


class FeedForwardArbitrator(Arbitrator[FeedForwardArbitratorState]):
    """Two linear layers with ReLU between them.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    num_blocks : int
        Transformer blocks that it decides about.
    nhead : int
        Heads of a block.
    hidden_size : int
        Features between the layers.
    bias : float
        Initial bias of the toggles: gates start open, with probability 0.88 at 2.
    feed_forward_groups : int
        Parts of a feed-forward module with toggles of their own; 1 is the paper.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, num_blocks, feed_forward_groups + 2 * nhead)

    Streaming
    ---------
    No look-ahead, empty state.

    Reference
    ---------
    Xie et al., Interspeech 2022, arXiv 2207.02393, "ff": 0.08 million parameters and operations,
    which a hidden layer of 128 has. The initial bias is ours.

    Example
    -------
    >>> import torch
    >>> arbitrator = FeedForwardArbitrator(input_size=516, num_blocks=12, nhead=4)
    >>> arbitrator(torch.zeros(1, 3, 516)).shape, arbitrator.num_toggles, arbitrator.macs_per_frame
    (torch.Size([1, 3, 12, 9]), 108, 79872)
    """

    geometry = FrameGeometry()

    def __init__(
        self,
        *,
        input_size: int,
        num_blocks: int,
        nhead: int,
        hidden_size: int = 128,
        bias: float = 2.0,
        feed_forward_groups: int = 1,
    ) -> None:
        super().__init__(
            input_size=input_size,
            num_blocks=num_blocks,
            nhead=nhead,
            feed_forward_groups=feed_forward_groups,
        )
        if hidden_size < 1:
            raise ValueError(f"hidden_size must be >= 1, got {hidden_size}")
        self.hidden = nn.Linear(input_size, hidden_size)
        self.toggles = nn.Linear(hidden_size, self.num_toggles)
        nn.init.constant_(self.toggles.bias, bias)

    @property
    def macs_per_frame(self) -> int:
        return self.hidden.weight.numel() + self.toggles.weight.numel()

    def initial_state(self, batch_size: int) -> FeedForwardArbitratorState:
        return FeedForwardArbitratorState(self.zeros(batch_size, 0))

    def forward_chunk(
        self, x: Tensor, state: FeedForwardArbitratorState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, FeedForwardArbitratorState]:
        self.check_chunk(x, state)
        logits = self.toggles(F.relu(self.hidden(x)))
        return logits.unflatten(-1, (self.num_blocks, self.layout.count)), state
