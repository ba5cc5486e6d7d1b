"""Which modules of a gated Transformer are computed for which frames."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Gates:
    """The toggles of N blocks with H heads: bool at test, numbers between 0 and 1 in training.

    A kind of toggle that the encoder leaves on is all ones.

    Arguments
    ---------
    feed_forward : Tensor
        (B, T, N) the feed-forward module of a block is computed for a frame.
    query : Tensor
        (B, T, N, H) a head looks back from a frame.
    key : Tensor
        (B, T, N, H) later frames and the frame itself can see a frame through a head.

    Reference
    ---------
    Xie et al., "Compute Cost Amortized Transformer for Streaming ASR", Interspeech 2022, arXiv
    2207.02393: B toggles of feed-forward modules and B x H of queries and of keys (their B is N
    here).

    Example
    -------
    >>> import torch
    >>> gates = Gates(torch.ones(1, 3, 2), torch.ones(1, 3, 2, 4), torch.ones(1, 3, 2, 4))
    >>> gates.num_frames, gates.num_blocks, gates.nhead
    (3, 2, 4)
    """

    feed_forward: Tensor
    query: Tensor
    key: Tensor

    def __post_init__(self) -> None:
        if (
            self.feed_forward.dim() != 3
            or self.query.shape != self.key.shape
            or self.query.shape[:3] != self.feed_forward.shape
        ):
            raise ValueError(
                "gates have shapes (B, T, N), (B, T, N, H) and (B, T, N, H), got "
                f"{tuple(self.feed_forward.shape)}, {tuple(self.query.shape)} and "
                f"{tuple(self.key.shape)}"
            )

    @property
    def num_frames(self) -> int:
        """T."""
        return self.feed_forward.shape[1]

    @property
    def num_blocks(self) -> int:
        """N."""
        return self.feed_forward.shape[2]

    @property
    def nhead(self) -> int:
        """H."""
        return self.query.shape[3]
