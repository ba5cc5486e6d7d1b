"""The expected cost of a gated encoder as a loss, so that it learns what it can skip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sb_alexa.metrics.compute import macs_by_part
from sb_alexa.metrics.toggle_sums import (
    ToggleSums,
    existing_frames,
    sum_all_on,
    sum_toggles,
    without_padding,
)
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


@dataclass(frozen=True)
class ComputeCost:
    """The compute-cost loss of a batch and what it consists of; all without a unit.

    Arguments
    ---------
    share : Tensor
        Expected multiply-adds of the batch, arbitrators included, as a fraction of those of the
        dense encoder.
    coherence : Tensor
        Mean change of a toggle between two frames of the same chunk, 0..1; 0 where all agree.
    loss : Tensor
        What is to be made small.
    """

    share: Tensor
    coherence: Tensor
    loss: Tensor


class ComputeCostLoss:
    """Expected multiply-adds of a gated encoder, relative to the dense one.

    The share is that of `sb_alexa.metrics.compute.compute_share`, with gates taken as independent
    probabilities; it is the ratio of sums over the batch, so a weight on it does not depend on the
    model's size or on the batch. It differs from the counted share while gates are undecided.

    Arguments
    ---------
    target_compute : float | None
        Aim at this share of the dense multiply-adds, in (0, 1]: the loss is the distance to it.
        None makes the share itself the loss, and its weight decides where training ends.
    target_margin : float
        Within this distance of the target the loss is quadratic, and its slope falls with the
        distance. The share of a batch varies by a percent or two by chance: the plain distance
        then pushes all gates up in one step and down in the next, with its whole weight.
    coherence_weight : float
        Weight of the coherence in the loss. A stream in chunks of several frames saves only what
        no frame of a chunk needs; this term rewards agreement.
    coherence_frames : int
        Frames of such a chunk, at least 2; chunks start at the first frame of an utterance.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Reference
    ---------
    Xie et al., "Compute Cost Amortized Transformer for Streaming ASR", Interspeech 2022, arXiv
    2207.02393: transducer loss + beta * expected FLOPs. Deviations: a ratio instead of FLOPs; the
    target, its margin (the loss of Huber, 1964) and the coherence are not in the paper.

    Example
    -------
    >>> shape = TransformerShape(
    ...     input_size=3, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=5
    ... )
    >>> heads = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    >>> gates = Gates(torch.ones(1, 2, 1, 1), heads, heads)
    >>> cost = ComputeCostLoss(target_compute=0.5, coherence_weight=0.1, coherence_frames=2)(
    ...     gates, torch.tensor([2]), shape
    ... )
    >>> cost.share, cost.coherence, cost.loss  # 264 of 344 multiply-adds; 2 of 3 toggles change
    (tensor(0.7674), tensor(0.6667), tensor(0.3341))
    """

    def __init__(
        self,
        *,
        target_compute: float | None = None,
        target_margin: float = 0.0,
        coherence_weight: float = 0.0,
        coherence_frames: int = 5,
    ) -> None:
        if target_compute is not None and not 0 < target_compute <= 1:
            raise ValueError(
                f"target_compute must lie in (0, 1], got {target_compute}; it is the share of the "
                "dense encoder's multiply-adds, 0.4 for 40 %"
            )
        if not target_margin >= 0:
            raise ValueError(f"target_margin must be >= 0, got {target_margin}; 0.1 is smooth")
        if not coherence_weight >= 0:
            raise ValueError(f"coherence_weight must be >= 0, got {coherence_weight}")
        if coherence_frames < 2:
            raise ValueError(
                f"coherence_frames must be >= 2, got {coherence_frames}; frames of smaller chunks "
                "have nothing to agree with, coherence_weight=0 turns the term off"
            )
        self.target_compute = target_compute
        self.target_margin = target_margin
        self.coherence_weight = coherence_weight
        self.coherence_frames = coherence_frames

    def __call__(self, gates: Gates, num_frames: Tensor, shape: TransformerShape) -> ComputeCost:
        """Cost of a batch.

        Arguments
        ---------
        gates : Gates
            Numbers between 0 and 1, or bool.
        num_frames : Tensor
            (B,) integers in 0..T; padding is not counted and gets no gradient.
        shape : TransformerShape
            Sizes of the encoder that made the gates.

        Returns
        -------
        ComputeCost
            Scalars, differentiable; float64 for float64 gates, else float32.

        Raises
        ------
        ValueError
            If the gates do not fit the encoder or the numbers of frames.
        """
        share = _share(shape, sum_toggles(shape, gates, num_frames))
        coherence = _mean_change(gates, num_frames, self.coherence_frames)
        target = self.target_compute
        loss = share if target is None else self._distance(share, target)
        loss = loss + self.coherence_weight * coherence
        dtype = torch.float64 if gates.feed_forward.dtype == torch.float64 else torch.float32
        return ComputeCost(share.to(dtype), coherence.to(dtype), loss.to(dtype))

    def _distance(self, share: Tensor, target: float) -> Tensor:
        """How far a share is from the target, smooth around it."""
        distance, margin = (share - target).abs(), self.target_margin
        if margin == 0:
            return distance
        return torch.where(
            distance < margin, distance.square() / (2 * margin), distance - margin / 2
        )

    def check(
        self, shape: TransformerShape, *, toggles: str = "query_key", max_frames: int = 1000
    ) -> None:
        """Refuse a target that no gates can meet.

        Arguments
        ---------
        shape : TransformerShape
            Sizes of the encoder.
        toggles : str
            "query", "key", "query_key" or "feed_forward": what its arbitrators toggle beside the
            feed-forward modules, which they always do; what they do not toggle is always paid.
        max_frames : int
            Frames of the longest utterances, where attention scores weigh most and what cannot be
            skipped weighs least.

        Raises
        ------
        ValueError
            If the target lies below the share of an encoder with every toggle off, or `toggles` is
            unknown.

        Example
        -------
        >>> shape = TransformerShape(
        ...     input_size=3, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=5
        ... )
        >>> ComputeCostLoss(target_compute=0.05).check(shape, toggles="key", max_frames=8)
        Traceback (most recent call last):
        ValueError: target_compute=0.05 cannot be met: with every toggle off this encoder still ...
        """
        if toggles not in ("query", "key", "query_key", "feed_forward"):
            raise ValueError(
                f"toggles must be query, key, query_key or feed_forward, got {toggles!r}"
            )
        if self.target_compute is None:
            return
        all_on = sum_all_on(shape, torch.tensor([max_frames]))
        nothing = torch.zeros_like(all_on.frames)
        always = ToggleSums(
            frames=all_on.frames,
            feed_forward=nothing,
            query=nothing if "query" in toggles else all_on.query,
            key=nothing if "key" in toggles else all_on.key,
            pairs=nothing,
        )
        least = _share(shape, always).item()
        if self.target_compute < least:
            raise ValueError(
                f"target_compute={self.target_compute} cannot be met: with every toggle off this "
                f"encoder still computes {least:.4f} of the dense one (projections of input and "
                f"output, arbitrators, what toggles={toggles!r} leaves on); take a target_compute "
                "above that, smaller arbitrators, or toggles='query_key'"
            )


def _share(shape: TransformerShape, toggles: ToggleSums) -> Tensor:
    """Multiply-adds of a batch relative to the dense encoder, a float64 scalar."""
    all_on = sum_all_on(shape, toggles.frames)
    gated = _total_macs(shape, toggles)
    dense = _total_macs(replace(shape, arbitrator_macs=0), all_on)
    return gated / dense.clamp(min=1.0)  # without a frame nothing is computed


def _total_macs(shape: TransformerShape, toggles: ToggleSums) -> Tensor:
    parts = macs_by_part(shape, toggles).values()
    return torch.stack([part.sum().double() for part in parts]).sum()


def _mean_change(gates: Gates, num_frames: Tensor, chunk_frames: int) -> Tensor:
    """Mean over toggles and over neighbouring frames of a chunk of |s_t - s_{t-1}|, float64."""
    exists = existing_frames(gates, num_frames)
    kinds = (gates.feed_forward, gates.query, gates.key)
    toggles = torch.cat([without_padding(kind, exists).double().flatten(2) for kind in kinds], 2)
    starts_chunk = torch.arange(gates.num_frames, device=exists.device) % chunk_frames == 0
    is_compared = (exists & ~starts_chunk)[:, 1:]
    changes = toggles.diff(dim=1).abs().sum(2).masked_fill(~is_compared, 0.0)
    return changes.sum() / (is_compared.sum() * toggles.shape[2]).clamp(min=1)
