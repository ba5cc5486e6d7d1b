"""The output channels of a batch of mixtures as rows of one batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import pad

from sb_alexa.training.mixture_batch import MixtureBatch


@dataclass(frozen=True)
class ChannelRows:
    """The N channels of B mixtures under one another, channel by channel.

    Arguments
    ---------
    encoder_out : Tensor
        (N B, T, C).
    num_frames : Tensor
        (N B,) valid frames.
    labels : Tensor
        (N B, U) word pieces and turn tokens, blank (0) after the end.
    num_labels : Tensor
        (N B,).
    turn_end_s : Tensor
        (N B, U) when the turn ends that a label closes, seconds; NaN for other labels.
    """

    encoder_out: Tensor
    num_frames: Tensor
    labels: Tensor
    num_labels: Tensor
    turn_end_s: Tensor


def channel_rows(encoder_out: Tensor, num_frames: Tensor, batch: MixtureBatch) -> ChannelRows:
    """Put channels under one another, so that one pass computes the losses of all.

    Arguments
    ---------
    encoder_out : Tensor
        (B, T, N, C).
    num_frames : Tensor
        (B,) valid frames.
    batch : MixtureBatch
        What the channels shall say.

    Returns
    -------
    ChannelRows
        Row ``n B + b`` is channel n of mixture b.

    Raises
    ------
    ValueError
        If encoder and batch differ in the number of channels.
    """
    if encoder_out.shape[2] != batch.num_channels:
        raise ValueError(
            f"the encoder has {encoder_out.shape[2]} output channels and the batch labels for "
            f"{batch.num_channels}; num_channels must be the number of modules in "
            "encoder.separation"
        )
    longest = max(labels.shape[1] for labels in batch.labels)

    def stacked(channels: tuple[Tensor, ...], padding: float) -> Tensor:
        return torch.cat([pad(one, (0, longest - one.shape[1]), value=padding) for one in channels])

    return ChannelRows(
        encoder_out=encoder_out.permute(2, 0, 1, 3).flatten(0, 1),
        num_frames=num_frames.repeat(batch.num_channels),
        labels=stacked(batch.labels, 0),
        num_labels=torch.cat(batch.num_labels),
        turn_end_s=stacked(batch.turn_end_s, float("nan")),
    )


def label_orders(rows: ChannelRows, num_channels: int) -> list[ChannelRows]:
    """The same rows with the labels of the channels in every order, the given one first.

    Permutation-invariant training takes, for each mixture, the order of least loss; with a fixed
    order the arrangement of the turns decides which channel says what.

    Arguments
    ---------
    rows : ChannelRows
        Of `channel_rows`.
    num_channels : int
        N.

    Returns
    -------
    list of ChannelRows
        N! of them.

    Reference
    ---------
    Yu et al., "Permutation invariant training of deep models for speaker-independent multi-talker
    speech separation", ICASSP 2017, arXiv 1607.00325.
    """
    batch = len(rows.labels) // num_channels

    def ordered(tensor: Tensor, order: tuple[int, ...]) -> Tensor:
        return tensor.view(num_channels, batch, *tensor.shape[1:])[list(order)].view_as(tensor)

    return [
        replace(
            rows,
            labels=ordered(rows.labels, order),
            num_labels=ordered(rows.num_labels, order),
            turn_end_s=ordered(rows.turn_end_s, order),
        )
        for order in permutations(range(num_channels))
    ]
