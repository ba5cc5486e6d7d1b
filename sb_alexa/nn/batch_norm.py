"""Batch normalisation that knows which frames exist."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.lengths import length_mask


class MaskedBatchNorm(nn.Module):
    """Batch normalisation over the valid frames of a padded batch and over all processes.

    A batch split over processes has the statistics of the undivided batch, however unequal the
    numbers of frames: torch's BatchNorm1d counts the padding, its SyncBatchNorm too, and the latter
    refuses CPU tensors. The class does not derive from torch's batch norms, because SpeechBrain
    replaces everything that does by SyncBatchNorm.

    Arguments
    ---------
    num_features : int
        Features of a frame, C.
    eps : float
        Added to the variance.
    momentum : float
        Weight of the newest batch in the running statistics.

    Shape
    -----
    input : (B, T, C)
    output : (B, T, C)

    Streaming
    ---------
    In evaluation each frame is scaled and shifted by itself, so there is no state.

    Example
    -------
    >>> import torch
    >>> norm = MaskedBatchNorm(1, eps=0.0)
    >>> x = torch.tensor([[[1.0], [3.0], [100.0]]])
    >>> norm(x, num_steps=torch.tensor([2]))[0, :2, 0].tolist()
    [-1.0, 1.0]
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be >= 1, got {num_features}")
        if not 0.0 <= momentum <= 1.0:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.num_batches_tracked: Tensor
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor, num_steps: Tensor | None = None) -> Tensor:
        """Normalise.

        Arguments
        ---------
        x : Tensor
            (B, T, C).
        num_steps : Tensor | None
            (B,) valid frames of each row, None for all. Looked at in training only.

        Returns
        -------
        Tensor
            (B, T, C) in the precision of the input.
        """
        if x.dim() != 3 or x.shape[2] != self.num_features:
            raise ValueError(
                f"MaskedBatchNorm takes input of shape (B, T, {self.num_features}), "
                f"got {tuple(x.shape)}"
            )
        if not self.training:
            flat = x.reshape(-1, self.num_features)
            return F.batch_norm(
                flat, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            ).view_as(x)
        mean, var = self._batch_statistics(x, num_steps)
        scale = self.weight * torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift, x.to(scale.dtype), scale).to(x.dtype)

    def _batch_statistics(self, x: Tensor, num_steps: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance of the batch, (C,) each; the running ones are updated."""
        precision = self.running_mean.dtype
        count, mean, squares = _local_moments(
            x.to(torch.promote_types(x.dtype, torch.float32)), num_steps
        )
        # The sums of the processes are combined in float64, where mean ** 2 costs the variance no
        # digits.
        sums = torch.cat([count[None], count * mean, squares + count * mean**2])
        count, total, total_squares = _sum_over_processes(sums).split(
            [1, self.num_features, self.num_features]
        )
        count = count.clamp(min=1.0)
        mean = total / count
        var = (total_squares / count - mean**2).clamp(min=0.0)
        with torch.no_grad():
            unbiased = var * count / (count - 1.0).clamp(min=1.0)
            self.running_mean.lerp_(mean.to(precision), self.momentum)
            self.running_var.lerp_(unbiased.to(precision), self.momentum)
            self.num_batches_tracked += 1
        return mean.to(precision), var.to(precision)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


def _local_moments(x: Tensor, num_steps: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Number (), mean (C,) and squared deviation (C,) of this process's frames, in float64."""
    if num_steps is None:
        count = x.new_tensor(x.shape[0] * x.shape[1], dtype=torch.float64)
        mask = x.new_ones(1, 1, 1)
    else:
        mask = length_mask(num_steps.to(x.device), x.shape[1])[..., None].to(x.dtype)  # (B, T, 1)
        count = mask.sum(dtype=torch.float64)
    mean = (x * mask).sum(dim=(0, 1)) / count.clamp(min=1.0).to(x.dtype)
    squares = ((x - mean) * mask).square().sum(dim=(0, 1))
    return count, mean.double(), squares.double()


def _sum_over_processes(x: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return _AllReduceSum.apply(x)
    return x


class _AllReduceSum(torch.autograd.Function):
    """Sum over processes; the objective is their sum too, hence the gradient is summed alike."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad
