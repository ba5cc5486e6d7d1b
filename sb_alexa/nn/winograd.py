"""Fast convolution over (time, frequency) for streaming on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

# Evaluation points of the interpolation, and infinity: those of the F(6, 3) that is common on CPUs.
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
_NUM_POINTS = len(_POINTS) + 1
# Frames processed together: their transforms (1.4 MB for 100 channels of 192 bins) stay in the
# cache.
_BLOCK_FRAMES = 9


class FrequencyWinograd:
    """A convolution along frequency by Winograd's algorithm, along time as a plain sum.

    ``9 - K`` neighbouring outputs of a kernel of K bins are computed from 8 products instead of
    ``(9 - K) * K``: for K = 5 two fifths of the multiplications of the direct form. Frames are not
    mixed, so that the result does not depend on the chunks. The rounding error is below that of the
    direct convolution, whose sums are longer. The kernel is transformed once; without gradients
    only.

    Arguments
    ---------
    weight : Tensor
        (N, C, K, K) kernel over time and frequency, as of `torch.nn.Conv2d`; K is 3 or 5.

    Shape
    -----
    input : (B, K - 1 + T, F, C), the first K - 1 frames are the past
    output : (B, T, F, N)

    Reference
    ---------
    Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, arXiv
    1509.09308. One-dimensional here: a chunk has too few frames to gain from tiles in time.

    Example
    -------
    >>> conv = torch.nn.Conv2d(2, 3, 5, padding=(0, 2), bias=False)
    >>> x = torch.randn(1, 4 + 6, 10, 2)
    >>> with torch.no_grad():
    ...     fast = FrequencyWinograd(conv.weight)(x)
    ...     slow = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    >>> torch.allclose(fast, slow, atol=1e-5)
    True
    """

    def __init__(self, weight: Tensor) -> None:
        kernel_size = weight.shape[2]
        if kernel_size not in (3, 5) or weight.shape[3] != kernel_size:
            raise ValueError(f"the kernel must be 3 x 3 or 5 x 5, got {tuple(weight.shape[2:])}")
        self.original = weight.detach().clone()
        self.tile = _NUM_POINTS + 1 - kernel_size
        kernel, data, output = _toom_cook(self.tile, kernel_size)
        kernel = kernel.to(weight.device)
        transformed = torch.einsum("pf,nctf->ptcn", kernel, self.original.double())
        self.kernel = transformed.to(weight.dtype).contiguous()  # (P, K, C, N)
        self.data = data.to(weight)  # (P, P)
        self.output = output.to(weight)  # (tile, P)

    def is_made_of(self, weight: Tensor) -> bool:
        """Whether the kernel has not changed since; compared by value, which nothing can evade."""
        return self.original.dtype == weight.dtype and torch.equal(self.original, weight)

    def __call__(self, x: Tensor) -> Tensor:
        batch, frames, bins, _ = x.shape
        past = self.kernel.shape[1] - 1
        y = x.new_empty(batch, frames - past, bins, self.kernel.shape[3])
        steps = min(_BLOCK_FRAMES, frames - past)
        rows = max(1, _BLOCK_FRAMES // steps)
        for row in range(0, batch, rows):
            for step in range(0, frames - past, steps):
                block = x[row : row + rows, step : step + steps + past]
                y[row : row + rows, step : step + steps] = self._block(block)
        return y

    def _block(self, x: Tensor) -> Tensor:
        batch, frames, bins, channels = x.shape
        num_points, kernel_size, _, out_channels = self.kernel.shape
        steps = frames - kernel_size + 1
        # Tiles of a frame, and one or more of zeros: its end and the beginning of the next frame.
        tiles = -(-(bins + kernel_size - 1) // self.tile)
        per_step = batch * tiles
        padded = x.new_zeros(frames * per_step * self.tile + num_points, channels)
        placed = padded[: frames * per_step * self.tile].view(frames, batch, -1, channels)
        left = kernel_size // 2
        placed[:, :, left : left + bins] = x.transpose(0, 1)
        windows = padded.as_strided(
            (frames * per_step, num_points, channels), (self.tile * channels, channels, 1)
        )
        points = torch.matmul(self.data, windows).transpose(0, 1)  # (P, frames * B * tiles, C)
        products = torch.bmm(points[:, : steps * per_step], self.kernel[:, 0])
        for tap in range(1, kernel_size):
            shifted = points[:, tap * per_step : (tap + steps) * per_step]
            products.baddbmm_(shifted, self.kernel[:, tap])
        y = self.output @ products.view(num_points, -1)  # (tile, steps * B * tiles * N)
        y = y.view(self.tile, steps, batch, tiles, out_channels).permute(2, 1, 3, 0, 4)
        return y.reshape(batch, steps, tiles * self.tile, out_channels)[:, :, :bins]


def _toom_cook(tile: int, kernel_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices G, B', A' of ``y = A' [(G g) * (B' d)]`` in float64."""
    points = torch.tensor(_POINTS, dtype=torch.float64)

    def evaluate(degree: int) -> Tensor:
        """Values of 1, p, p^2, ... at the points; at infinity only the last power counts."""
        powers = points[:, None] ** torch.arange(degree, dtype=torch.float64)
        last = torch.zeros(1, degree, dtype=torch.float64)
        last[0, -1] = 1.0
        return torch.cat([powers, last])

    kernel, data = evaluate(kernel_size), torch.linalg.inv(evaluate(_NUM_POINTS)).T
    # The same size for both factors: powers of two, which round nothing.
    ratio = data.abs().sum(dim=1, keepdim=True) / kernel.abs().sum(dim=1, keepdim=True)
    balance = 2.0 ** (ratio.log2() / 2).round()
    return kernel * balance, data / balance, evaluate(tile).T
