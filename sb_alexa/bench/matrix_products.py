"""The matrix products that a transducer loss cannot do without."""

from __future__ import annotations

import torch

_SLICE_BYTES_CPU = 8 << 20
_SLICE_BYTES_GPU = 256 << 20


class MatrixProducts:
    """The joiner's products on so many cells, and nothing else: a lower bound of the time.

    There are four of each cell: the logits, the logits again where they are not kept for the
    backward pass, the gradient of the activations, and that of the weights. They run in slices of 8
    MiB of logits (256 on a GPU), in buffers made beforehand.

    Arguments
    ---------
    num_cells : int
        Rows.
    joint_size, vocabulary_size : int
        Inner size and columns.
    device : str
        Where to compute.

    Example
    -------
    >>> products = MatrixProducts(num_cells=100, joint_size=8, vocabulary_size=10, device="cpu")
    >>> products()
    >>> products.num_multiply_adds
    32000
    """

    def __init__(
        self, *, num_cells: int, joint_size: int, vocabulary_size: int, device: str
    ) -> None:
        num_bytes = _SLICE_BYTES_CPU if device == "cpu" else _SLICE_BYTES_GPU
        rows = min(num_cells, max(1, num_bytes // (4 * vocabulary_size)))
        self.num_cells = num_cells
        self.weight = torch.full((vocabulary_size, joint_size), 0.01, device=device)
        self.weight_grad = torch.zeros_like(self.weight)
        self.activations = torch.full((rows, joint_size), 0.01, device=device)
        self.activations_grad = torch.zeros_like(self.activations)
        self.logits = torch.zeros(rows, vocabulary_size, device=device)

    @property
    def num_multiply_adds(self) -> int:
        """Multiply-adds of a call."""
        return 4 * self.num_cells * self.weight.numel()

    def __call__(self) -> None:
        self.weight_grad.zero_()
        for start in range(0, self.num_cells, len(self.logits)):
            rows = slice(0, min(len(self.logits), self.num_cells - start))
            logits, activations = self.logits[rows], self.activations[rows]
            torch.mm(activations, self.weight.T, out=logits)
            torch.mm(activations, self.weight.T, out=logits)
            torch.mm(logits, self.weight, out=self.activations_grad[rows])
            self.weight_grad.addmm_(logits.T, activations)
