"""What decides for every frame which modules of a Transformer are computed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from sb_alexa.nn.transformer_shape import TransformerShape
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


def check_arbitrators(arbitrators: Sequence[Arbitrator[Any]], shape: TransformerShape) -> None:
    """Refuse arbitrators that do not fit an encoder.

    Arguments
    ---------
    arbitrators : sequence of Arbitrator
        One or two, for the blocks from below.
    shape : TransformerShape
        Of the encoder.

    Raises
    ------
    ValueError
        Naming what differs.
    """
    if len(arbitrators) not in (1, 2):
        raise ValueError(
            f"an amortized encoder has one arbitrator (single) or two (dual), got "
            f"{len(arbitrators)}"
        )
    blocks = sum(arbitrator.num_blocks for arbitrator in arbitrators)
    if blocks != shape.num_layers:
        raise ValueError(
            f"the arbitrators decide about {blocks} blocks and the encoder has "
            f"num_layers={shape.num_layers}; their num_blocks must add up to it"
        )
    for arbitrator in arbitrators:
        if arbitrator.nhead != shape.nhead or arbitrator.input_features != (shape.d_model,):
            raise ValueError(
                f"the arbitrators must have nhead={shape.nhead} and input_size={shape.d_model} as "
                f"the encoder, got nhead={arbitrator.nhead} and "
                f"input_size={arbitrator.input_features[0]}"
            )
