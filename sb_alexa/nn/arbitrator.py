"""What decides for every frame which modules of a Transformer are computed."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from sb_alexa.streaming.module import StreamingModule

S = TypeVar("S")


class Arbitrator(StreamingModule[S]):
    """A causal module from frames to the logits of keep probabilities.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    num_blocks : int
        Transformer blocks that it decides about, N.
    nhead : int
        Heads of a block, H.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, num_blocks, 1 + 2 * nhead): feed-forward module, queries, keys

    Raises
    ------
    ValueError
        If a size is not positive.
    """

    def __init__(self, *, input_size: int, num_blocks: int, nhead: int) -> None:
        super().__init__()
        if input_size < 1 or num_blocks < 1 or nhead < 1:
            raise ValueError(
                "input_size, num_blocks and nhead must be >= 1, got "
                f"{input_size}, {num_blocks} and {nhead}"
            )
        self.num_blocks = num_blocks
        self.nhead = nhead
        self.input_features = (input_size,)

    @property
    def num_toggles(self) -> int:
        """Toggles of all blocks together."""
        return self.num_blocks * (1 + 2 * self.nhead)

    @property
    @abstractmethod
    def macs_per_frame(self) -> int:
        """Multiply-adds of matrix products per frame."""
