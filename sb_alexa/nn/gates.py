"""Which modules of a gated Transformer are computed for which frames."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ToggleLayout:
    """The order of the toggles of a block: G of feed-forward groups, H of queries, H of keys.

    Arguments
    ---------
    feed_forward_groups : int
        G.
    nhead : int
        H.

    Example
    -------
    >>> layout = ToggleLayout(feed_forward_groups=1, nhead=4)
    >>> layout.query, layout.count
    (slice(1, 5, None), 9)
    """

    feed_forward_groups: int
    nhead: int

    @property
    def feed_forward(self) -> slice:
        """Where the feed-forward groups are."""
        return slice(0, self.feed_forward_groups)

    @property
    def query(self) -> slice:
        """Where the queries are."""
        return slice(self.feed_forward_groups, self.feed_forward_groups + self.nhead)

    @property
    def key(self) -> slice:
        """Where the keys are."""
        return slice(self.feed_forward_groups + self.nhead, self.count)

    @property
    def count(self) -> int:
        """Toggles of a block."""
        return self.feed_forward_groups + 2 * self.nhead


@dataclass(frozen=True)
class Gates:
    """The toggles of N blocks with H heads: bool at test, numbers between 0 and 1 in training.

    A kind of toggle that the encoder leaves on is all ones.

    Arguments
    ---------
    feed_forward : Tensor
        (B, T, N, G) a group of the feed-forward module of a block is computed for a frame.
    query : Tensor
        (B, T, N, H) a head looks back from a frame.
    key : Tensor
        (B, T, N, H) later frames and the frame itself can see a frame through a head.

    Reference
    ---------
    Xie et al., "Compute Cost Amortized Transformer for Streaming ASR", Interspeech 2022, arXiv
    2207.02393: B toggles of feed-forward modules and B x H of queries and of keys (their B is N
    here, their G is 1).

    Example
    -------
    >>> import torch
    >>> gates = Gates(torch.ones(1, 3, 2, 1), torch.ones(1, 3, 2, 4), torch.ones(1, 3, 2, 4))
    >>> gates.num_frames, gates.num_blocks, gates.feed_forward_groups, gates.nhead
    (3, 2, 1, 4)
    """

    feed_forward: Tensor
    query: Tensor
    key: Tensor

    def __post_init__(self) -> None:
        if (
            self.feed_forward.dim() != 4
            or self.query.shape != self.key.shape
            or self.query.shape[:3] != self.feed_forward.shape[:3]
        ):
            raise ValueError(
                "gates have shapes (B, T, N, G), (B, T, N, H) and (B, T, N, H), got "
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
    def feed_forward_groups(self) -> int:
        """G."""
        return self.feed_forward.shape[3]

    @property
    def nhead(self) -> int:
        """H."""
        return self.query.shape[3]
