"""What decides for every frame which modules of a Transformer are computed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from sb_alexa.nn.gates import ToggleLayout
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
    feed_forward_groups : int
        Parts of a feed-forward module with toggles of their own, G; 1 is the paper.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, num_blocks, G + 2 * H): feed-forward groups, queries, keys

    Raises
    ------
    ValueError
        If a size is not positive.
    """

    def __init__(
        self, *, input_size: int, num_blocks: int, nhead: int, feed_forward_groups: int = 1
    ) -> None:
        super().__init__()
        if min(input_size, num_blocks, nhead, feed_forward_groups) < 1:
            raise ValueError(
                "input_size, num_blocks, nhead and feed_forward_groups must be >= 1, got "
                f"{input_size}, {num_blocks}, {nhead} and {feed_forward_groups}"
            )
        self.num_blocks = num_blocks
        self.layout = ToggleLayout(feed_forward_groups, nhead)
        self.input_features = (input_size,)

    @property
    def num_toggles(self) -> int:
        """Toggles of all blocks together."""
        return self.num_blocks * self.layout.count

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
        if arbitrator.layout != shape.toggles or arbitrator.input_features != (shape.d_model,):
            raise ValueError(
                f"the arbitrators must have nhead={shape.nhead}, "
                f"feed_forward_groups={shape.feed_forward_groups} and input_size={shape.d_model} "
                f"as the encoder, got nhead={arbitrator.layout.nhead}, "
                f"feed_forward_groups={arbitrator.layout.feed_forward_groups} and "
                f"input_size={arbitrator.input_features[0]}"
            )
