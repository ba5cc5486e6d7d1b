"""Multiply-adds of a Transformer encoder with gates, as addable counts.

The share of the dense encoder's is derived last, so that nobody can average shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from torch import Tensor

from sb_alexa.metrics.toggle_sums import ToggleSums, sum_all_on, sum_toggles
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


@dataclass(frozen=True)
class MacCounts:
    """Multiply-adds of an encoder by part, of one utterance or summed over many.

    Layer norms, biases, activations and the softmax are not counted.

    Arguments
    ---------
    input_projection : int | float
        From the features of a frame to `d_model`. Integers for bool gates; floats for gates between
        0 and 1, whose multiply-adds are expectations.
    arbitrator : int | float
        All arbitrators.
    query : int | float
        Query and output projections of the attention, head by head.
    key : int | float
        Key and value projections.
    scores : int | float
        Attention scores and their sums of values.
    feed_forward : int | float
        Feed-forward modules.
    output_projection : int | float
        From `d_model` to the output.
    frames : int
        Frames that they were spent on.

    Raises
    ------
    ValueError
        If a count is negative.

    Example
    -------
    >>> sum([MacCounts(query=6, frames=1), MacCounts(key=2, frames=3)], MacCounts()).per_frame
    2.0
    """

    input_projection: int | float = 0
    arbitrator: int | float = 0
    query: int | float = 0
    key: int | float = 0
    scores: int | float = 0
    feed_forward: int | float = 0
    output_projection: int | float = 0
    frames: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(
                    f"{field.name} must not be negative, got {getattr(self, field.name)}; "
                    "count with gated_macs(...) or dense_macs(...)"
                )

    def __add__(self, other: MacCounts) -> MacCounts:
        if not isinstance(other, MacCounts):
            return NotImplemented
        names = (field.name for field in fields(self))
        return MacCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def total(self) -> int | float:
        """Multiply-adds of all parts."""
        return sum(getattr(self, field.name) for field in fields(self) if field.name != "frames")

    @property
    def per_frame(self) -> float:
        """Multiply-adds per frame; NaN without a frame."""
        return self.total / self.frames if self.frames else math.nan


def macs_by_part(shape: TransformerShape, toggles: ToggleSums) -> dict[str, Tensor]:
    """Turn sums of toggles into multiply-adds; the only place that knows what a toggle costs.

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder.
    toggles : ToggleSums
        The toggles that are on in each utterance.

    Returns
    -------
    dict of str to Tensor
        (B,) multiply-adds for each part of `MacCounts`; as exact and as differentiable as the sums.

    Reference
    ---------
    Xie et al. 2022, arXiv 2207.02393, section 2. Deviation: a multiplication and its addition count
    once, the paper seems to count FLOPs; the slice of the output projection is counted with the
    query, since a head without a query adds nothing to it.

    Example
    -------
    >>> import torch
    >>> shape = TransformerShape(
    ...     input_size=3, d_model=4, nhead=2, num_layers=1, d_ffn=8, output_size=5
    ... )
    >>> parts = macs_by_part(shape, sum_all_on(shape, torch.tensor([1])))
    >>> {part: macs.item() for part, macs in parts.items()}
    {'input_projection': 12, 'arbitrator': 0, 'query': 32, 'key': 32, 'scores': 8,
     'feed_forward': 64, 'output_projection': 20}
    """
    head_projections = 2 * shape.d_model * shape.head_size
    return {
        "input_projection": toggles.frames * (shape.input_size * shape.d_model),
        "arbitrator": toggles.frames * shape.arbitrator_macs,
        "query": toggles.query * head_projections,
        "key": toggles.key * head_projections,
        "scores": toggles.pairs * (2 * shape.head_size),
        "feed_forward": toggles.feed_forward * (2 * shape.d_model * shape.group_size),
        "output_projection": toggles.frames * (shape.d_model * shape.output_size),
    }


def mac_counts(shape: TransformerShape, toggles: ToggleSums) -> list[MacCounts]:
    """Turn sums of toggles into counts, one for each utterance.

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder.
    toggles : ToggleSums
        The toggles that are on in each utterance.

    Returns
    -------
    list of MacCounts
        B counts.
    """
    parts = {part: macs.tolist() for part, macs in macs_by_part(shape, toggles).items()}
    return [
        MacCounts(**{part: macs[item] for part, macs in parts.items()}, frames=frames)
        for item, frames in enumerate(toggles.frames.tolist())
    ]


def gated_macs(shape: TransformerShape, gates: Gates, num_frames: Tensor) -> MacCounts:
    """Count the multiply-adds of a batch whose gates are known.

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder.
    gates : Gates
        Bool: exact integers; numbers between 0 and 1: expectations.
    num_frames : Tensor
        (B,) integers in 0..T; padding is not counted.

    Returns
    -------
    MacCounts
        The sum over the batch, arbitrators included. Of a stream, count the gates of all its chunks
        together: a query also looks at the chunks before.

    Raises
    ------
    ValueError
        If the gates do not fit the encoder or the numbers of frames.

    Example
    -------
    >>> import torch
    >>> shape = TransformerShape(
    ...     input_size=3, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=5
    ... )
    >>> off = torch.zeros(1, 2, 1, 1, dtype=torch.bool)
    >>> gates = Gates(~off, off, off)
    >>> counts = gated_macs(shape, gates, torch.tensor([2]))
    >>> counts.feed_forward, counts.scores, counts.total
    (128, 0, 192)
    """
    return sum(mac_counts(shape, sum_toggles(shape, gates, num_frames)), MacCounts())


def dense_macs(shape: TransformerShape, num_frames: Tensor) -> MacCounts:
    """Count the multiply-adds of the dense encoder: every toggle on and no arbitrator.

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder; its arbitrators are left out.
    num_frames : Tensor
        (B,) integers.

    Returns
    -------
    MacCounts
        The sum over the batch.

    Example
    -------
    >>> import torch
    >>> paper = TransformerShape(
    ...     input_size=192, d_model=516, nhead=4, num_layers=12, d_ffn=1024, output_size=512
    ... )
    >>> dense = dense_macs(paper, torch.tensor([1000]))
    >>> (dense.total - dense.scores) / dense.frames
    25824768.0
    """
    without_arbitrators = replace(shape, arbitrator_macs=0)
    return sum(mac_counts(without_arbitrators, sum_all_on(shape, num_frames)), MacCounts())


def compute_share(gated: MacCounts, dense: MacCounts) -> float:
    """Multiply-adds with gates as a fraction of those of the dense encoder.

    Arguments
    ---------
    gated : MacCounts
        From `gated_macs`.
    dense : MacCounts
        From `dense_macs`, of the same frames.

    Returns
    -------
    float
        0..1, and above 1 by the arbitrators where nothing is skipped; NaN without a frame.

    Raises
    ------
    ValueError
        If the two were counted on different numbers of frames.

    Example
    -------
    >>> compute_share(MacCounts(query=1, frames=2), MacCounts(query=4, frames=2))
    0.25
    """
    if gated.frames != dense.frames:
        raise ValueError(
            f"the gated encoder was counted on {gated.frames} frames, the dense one on "
            f"{dense.frames}; count both on the same utterances"
        )
    return gated.total / dense.total if dense.total else math.nan


def compute_reduction(gated: MacCounts, dense: MacCounts) -> float:
    """Multiply-adds saved, in percent of the dense encoder's.

    Arguments
    ---------
    gated : MacCounts
        From `gated_macs`.
    dense : MacCounts
        From `dense_macs`, of the same frames.

    Returns
    -------
    float
        Percent; negative where the arbitrators cost more than is skipped, NaN without a frame.

    Raises
    ------
    ValueError
        As `compute_share`.

    Example
    -------
    >>> compute_reduction(MacCounts(query=1, frames=2), MacCounts(query=4, frames=2))
    75.0
    """
    return 100.0 * (1.0 - compute_share(gated, dense))
