"""Global batches whose samples are compared across processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor

from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.training.processes import rank_and_size


def gather_speaker_batch(embeddings: Tensor, speakers: Tensor) -> SpeakerBatch:
    """Put together the embeddings of all processes; gradients flow back to each.

    The rows come in the order in which `ShardedBatchSampler` dealt them: row j of process r stands
    before row j of process r + 1 and before all rows j + 1. A batch dealt to W processes is
    therefore the undivided batch again, for W = 1 too.

    A process then computes the mean loss of its own rows, as `Experiment` expects, from the
    embeddings of all. What this loss says about the embeddings of other processes reaches them in
    the backward pass, so all processes must run it, and each gradient is that of the sum of all
    processes' losses. With `n` rows, ``loss * n`` summed over processes is the loss of the global
    batch times its size, and so are the gradients.

    Arguments
    ---------
    embeddings : Tensor
        (n, E) of this process; n may differ between processes.
    speakers : Tensor
        (n,) integers.

    Returns
    -------
    SpeakerBatch
        The global batch.

    Raises
    ------
    ValueError
        If embeddings and speakers do not fit each other.

    Example
    -------
    >>> gather_speaker_batch(torch.zeros(4, 8), torch.tensor([1, 1, 2, 2])).rows.tolist()
    [0, 1, 2, 3]
    """
    batch = SpeakerBatch.of(embeddings, speakers.to(embeddings.device))
    rank, size = rank_and_size()
    if size == 1:
        return batch
    counts = _all_counts(embeddings)
    order, own = _dealt_order(counts, rank)
    order, own = order.to(embeddings.device), own.to(embeddings.device)
    return SpeakerBatch(
        embeddings=_Gather.apply(embeddings, counts, order, own),
        speakers=_gather(batch.speakers, counts, order),
        rows=own,
    )


def _all_counts(rows: Tensor) -> list[int]:
    """Rows of every process."""
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(rank_and_size()[1])]
    torch.distributed.all_gather(counts, count)
    return [int(one) for one in counts]


def _dealt_order(counts: list[int], rank: int) -> tuple[Tensor, Tensor]:
    """Where each row of the dealt batch (N,) stands in the processes' rows one after the other,
    and the places (n,) in the dealt batch of the rows of `rank`."""
    process = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    row = torch.cat([torch.arange(count) for count in counts])
    order = torch.argsort(row * len(counts) + process)
    return order, (process[order] == rank).nonzero().squeeze(1)


def _gather(rows: Tensor, counts: list[int], order: Tensor) -> Tensor:
    """The rows (n, ...) of all processes in the dealt order, (N, ...)."""
    padded = rows.new_zeros(max(counts), *rows.shape[1:])  # collectives want equal shapes
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])[order]


class _Gather(torch.autograd.Function):
    """All rows of all processes; the gradient of a row is the sum of what all say about it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], order: Tensor, own: Tensor) -> Tensor:
        ctx.save_for_backward(own)
        return _gather(rows.detach(), counts, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (own,) = ctx.saved_tensors
        grad = grad.contiguous().clone()
        torch.distributed.all_reduce(grad)
        return grad[own], None, None, None
