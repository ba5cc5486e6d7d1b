"""The other transducer losses of `sb-alexa bench loss`, and what keeps them from running."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from sb_alexa.bench.loss_cases import LossSize, LossTensors
from sb_alexa.lengths import relative_lengths

# More threads than this does no block of a GPU have; SpeechBrain's kernel needs one for each u.
_MAX_BLOCK_THREADS = 1024


@dataclass(frozen=True)
class Peer:
    """A loss on ready logits.

    Arguments
    ---------
    name : str
        In the names of figures.
    title : str
        In tables.
    loss : Callable
        Mean of -log P over the batch from (B, T, U + 1, V) logits, and its gradient.
    obstacle : Callable
        From the size of the batch and the device, why it cannot run; None if it can.
    """

    name: str
    title: str
    loss: Callable[[Tensor, LossTensors], Tensor]
    obstacle: Callable[[LossSize, str], str | None]


def torchaudio_loss(logits: Tensor, tensors: LossTensors) -> Tensor:
    """`torchaudio.functional.rnnt_loss`."""
    import torchaudio

    return torchaudio.functional.rnnt_loss(
        logits,
        tensors.targets.int(),
        tensors.num_frames.int(),
        tensors.num_labels.int(),
        blank=0,
        reduction="mean",
    )


def speechbrain_loss(logits: Tensor, tensors: LossTensors) -> Tensor:
    """`speechbrain.nnet.losses.transducer_loss`, with the value that belongs to its gradient."""
    from speechbrain.nnet.losses import transducer_loss

    losses = transducer_loss(
        logits,
        tensors.targets.int(),
        relative_lengths(tensors.num_frames, logits.shape[1]),
        relative_lengths(tensors.num_labels, tensors.targets.shape[1]),
        blank_index=0,
        reduction="none",
    )
    # The value is divided by the number of frames, the gradient is not.
    missing = losses.detach() * (tensors.num_frames - 1)
    return (losses + missing).mean()


def warprnnt_loss(logits: Tensor, tensors: LossTensors) -> Tensor:
    """`warprnnt_numba`, a port of warp-transducer."""
    from warprnnt_numba.rnnt_loss.rnnt_pytorch import rnnt_loss

    return rnnt_loss(
        logits,
        tensors.targets.int(),
        tensors.num_frames.int(),
        tensors.num_labels.int(),
        blank=0,
        reduction="mean",
    ).squeeze()


def torchaudio_obstacle(size: LossSize, device: str) -> str | None:
    """torchaudio counts logits with 32 bits.

    Example
    -------
    >>> torchaudio_obstacle(LossSize(32, 1000, 200, 4097), "cuda:0")
    '26351904000 logits, its indices of 32 bits allow 2147483647'
    """
    limit = torch.iinfo(torch.int32).max
    if size.num_logits > limit:
        return f"{size.num_logits} logits, its indices of 32 bits allow {limit}"
    return _memory_obstacle(size, device)


def speechbrain_obstacle(size: LossSize, device: str) -> str | None:
    """SpeechBrain's loss is compiled by numba for CUDA.

    Example
    -------
    >>> speechbrain_obstacle(LossSize(8, 200, 40, 500), "cpu")
    'it runs on CUDA only'
    """
    if size.num_labels + 1 > _MAX_BLOCK_THREADS:
        return f"U + 1 is {size.num_labels + 1}, it allows {_MAX_BLOCK_THREADS}"
    return _numba_obstacle(device) or _memory_obstacle(size, device)


def warprnnt_obstacle(size: LossSize, device: str) -> str | None:
    """warprnnt_numba is an optional package; on a CPU it is a reference in numpy.

    Example
    -------
    >>> warprnnt_obstacle(LossSize(8, 200, 40, 500), "cpu")
    'it runs on CUDA only'
    """
    obstacle = _numba_obstacle(device)
    if obstacle is None and find_spec("warprnnt_numba") is None:
        obstacle = "the package warprnnt_numba is not installed"
    return obstacle or _memory_obstacle(size, device)


PEERS = (
    Peer("torchaudio", "torchaudio", torchaudio_loss, torchaudio_obstacle),
    Peer("speechbrain", "SpeechBrain (numba)", speechbrain_loss, speechbrain_obstacle),
    Peer("warprnnt", "warprnnt_numba", warprnnt_loss, warprnnt_obstacle),
)


def _numba_obstacle(device: str) -> str | None:
    if not device.startswith("cuda"):
        return "it runs on CUDA only"
    return "the package numba is not installed" if find_spec("numba") is None else None


def _memory_obstacle(size: LossSize, device: str) -> str | None:
    """Activations, logits and a gradient of each; a process that runs out of memory is killed."""
    needed = 2 * 4 * size.num_padded_cells * (size.joint_size + size.vocabulary_size)
    free = _free_memory_bytes(device)
    if free is None or needed <= free:
        return None
    return f"it needs about {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free"


def _free_memory_bytes(device: str) -> int | None:
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            amounts = dict(line.split(":", 1) for line in lines)
        return 1024 * int(amounts["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
