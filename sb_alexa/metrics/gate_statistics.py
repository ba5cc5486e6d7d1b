"""How often the gates of a model are open, as addable counts: per utterance, per speaker group."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sb_alexa.metrics.compute import (
    MacCounts,
    compute_reduction,
    compute_share,
    dense_macs,
    mac_counts,
)
from sb_alexa.metrics.toggle_sums import existing_frames, sum_toggles, without_padding
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


@dataclass(frozen=True)
class ToggleCounts:
    """Toggles of one kind that were kept (on), out of those that could have been.

    Arguments
    ---------
    kept : int
        Toggles that are on.
    possible : int
        All toggles.

    Raises
    ------
    ValueError
        If fewer than none or more than all are kept.

    Example
    -------
    >>> (ToggleCounts(kept=1, possible=2) + ToggleCounts(kept=0, possible=8)).keep_rate
    0.1
    """

    kept: int = 0
    possible: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= self.possible:
            raise ValueError(
                f"kept must be in 0..possible, got {self}; count with count_gates(...)"
            )

    def __add__(self, other: ToggleCounts) -> ToggleCounts:
        if not isinstance(other, ToggleCounts):
            return NotImplemented
        return ToggleCounts(self.kept + other.kept, self.possible + other.possible)

    @property
    def keep_rate(self) -> float:
        """Fraction of the toggles that is on; NaN without a toggle."""
        return self.kept / self.possible if self.possible else math.nan

    @property
    def skip_rate(self) -> float:
        """Fraction of the toggles that is off; NaN without a toggle."""
        return 1.0 - self.keep_rate


@dataclass(frozen=True)
class GateCounts:
    """Open gates and what they cost, of one utterance or summed over a group of speakers.

    Sum the counts of a group, then read its rates: a long utterance counts more than a short one.

    Arguments
    ---------
    feed_forward : ToggleCounts
        Toggles of feed-forward modules, one per frame, block and group.
    query : ToggleCounts
        Toggles of queries, one per frame, block and head.
    key : ToggleCounts
        Toggles of keys, one per frame, block and head.
    gated : MacCounts
        Multiply-adds spent, arbitrators included.
    dense : MacCounts
        Multiply-adds of the dense encoder on the same frames.

    Raises
    ------
    ValueError
        If the multiply-adds were counted on different numbers of frames.

    Example
    -------
    >>> shape = TransformerShape(
    ...     input_size=3, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=5
    ... )
    >>> heads = torch.tensor([[True, False], [True, True]]).view(2, 2, 1, 1)
    >>> gates = Gates(heads, heads, torch.ones_like(heads))
    >>> first, second = count_gates(shape, gates, torch.tensor([2, 1]))
    >>> first.query.keep_rate, second.query.keep_rate, round((first + second).query.keep_rate, 3)
    (0.5, 1.0, 0.667)
    """

    feed_forward: ToggleCounts = field(default_factory=ToggleCounts)
    query: ToggleCounts = field(default_factory=ToggleCounts)
    key: ToggleCounts = field(default_factory=ToggleCounts)
    gated: MacCounts = field(default_factory=MacCounts)
    dense: MacCounts = field(default_factory=MacCounts)

    def __post_init__(self) -> None:
        if self.gated.frames != self.dense.frames:
            raise ValueError(
                f"{self.gated.frames} gated and {self.dense.frames} dense frames; "
                "count with count_gates(...)"
            )

    def __add__(self, other: GateCounts) -> GateCounts:
        if not isinstance(other, GateCounts):
            return NotImplemented
        return GateCounts(
            self.feed_forward + other.feed_forward,
            self.query + other.query,
            self.key + other.key,
            self.gated + other.gated,
            self.dense + other.dense,
        )

    @property
    def frames(self) -> int:
        """Frames of the utterances."""
        return self.gated.frames

    @property
    def compute_share(self) -> float:
        """Multiply-adds as a fraction of the dense encoder's; NaN without a frame."""
        return compute_share(self.gated, self.dense)

    @property
    def compute_reduction(self) -> float:
        """Multiply-adds saved, in percent of the dense encoder's; NaN without a frame."""
        return compute_reduction(self.gated, self.dense)


def count_gates(shape: TransformerShape, gates: Gates, num_frames: Tensor) -> list[GateCounts]:
    """Count the open gates and the multiply-adds of each utterance of a batch.

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder that made the gates.
    gates : Gates
        Bool.
    num_frames : Tensor
        (B,) integers in 0..T; padding is not counted.

    Returns
    -------
    list of GateCounts
        B counts; ``sum(counts, GateCounts())`` is that of the batch.

    Raises
    ------
    ValueError
        If the gates are not bool, or do not fit the encoder or the numbers of frames.
    """
    _check_hard(gates)
    toggles = sum_toggles(shape, gates, num_frames)
    groups, heads = shape.num_layers * shape.feed_forward_groups, shape.num_layers * shape.nhead
    return [
        GateCounts(
            ToggleCounts(feed_forward, gated.frames * groups),
            ToggleCounts(query, gated.frames * heads),
            ToggleCounts(key, gated.frames * heads),
            gated,
            dense_macs(shape, frames[None]),
        )
        for feed_forward, query, key, gated, frames in zip(
            toggles.feed_forward.tolist(),
            toggles.query.tolist(),
            toggles.key.tolist(),
            mac_counts(shape, toggles),
            num_frames,
            strict=True,
        )
    ]


def count_all_on(shape: TransformerShape, num_frames: Tensor) -> list[GateCounts]:
    """What `count_gates` gives for an encoder without gates.

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder.
    num_frames : Tensor
        (B,) integers.

    Returns
    -------
    list of GateCounts
        B counts.

    Example
    -------
    >>> shape = TransformerShape(
    ...     input_size=3, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=5
    ... )
    >>> (counts,) = count_all_on(shape, torch.tensor([2]))
    >>> counts.query, counts.compute_share, counts.gated.total
    (ToggleCounts(kept=2, possible=2), 1.0, 344)
    """
    groups, heads = shape.num_layers * shape.feed_forward_groups, shape.num_layers * shape.nhead
    counts = []
    for frames in num_frames.tolist():
        dense = dense_macs(shape, torch.tensor([frames]))
        per_group = ToggleCounts(frames * groups, frames * groups)
        per_head = ToggleCounts(frames * heads, frames * heads)
        counts.append(GateCounts(per_group, per_head, per_head, dense, dense))
    return counts


@dataclass(frozen=True)
class KeepRates:
    """Fractions of the toggles that are on, by kind; averages of them are not rates of the whole.

    Arguments
    ---------
    feed_forward : Tensor
        (B,) float64, NaN for an utterance without a frame.
    query : Tensor
        (B,) likewise.
    key : Tensor
        (B,) likewise.
    """

    feed_forward: Tensor
    query: Tensor
    key: Tensor


def keep_rates(gates: Gates, num_frames: Tensor) -> KeepRates:
    """Measure the fraction of open gates of each utterance, without knowing the encoder.

    Arguments
    ---------
    gates : Gates
        Bool.
    num_frames : Tensor
        (B,) integers in 0..T; padding is not counted.

    Returns
    -------
    KeepRates
        For each utterance.

    Raises
    ------
    ValueError
        If the gates are not bool or a number of frames does not fit them.

    Example
    -------
    >>> heads = torch.tensor([[True, False], [True, True]]).view(2, 2, 1, 1)
    >>> keep_rates(Gates(heads, heads, heads), torch.tensor([2, 1])).query.tolist()
    [0.5, 1.0]
    """
    _check_hard(gates)
    exists = existing_frames(gates, num_frames)

    def rate(gate: Tensor) -> Tensor:
        kept = without_padding(gate, exists).flatten(1).sum(1)
        return kept.double() / (exists.sum(1) * math.prod(gate.shape[2:]))

    return KeepRates(rate(gates.feed_forward), rate(gates.query), rate(gates.key))


def _check_hard(gates: Gates) -> None:
    for kind in ("feed_forward", "query", "key"):
        dtype = getattr(gates, kind).dtype
        if dtype != torch.bool:
            raise ValueError(
                f"{kind} gates are {dtype}, expected torch.bool; take those of the inference"
            )
