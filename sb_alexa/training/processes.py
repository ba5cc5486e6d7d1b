"""What the processes of one training tell each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed

# Its functions hold the group that is open when they are imported as a default argument, which
# making an optimizer does. The group's threads then outlive destroy_process_group() and can abort
# the process while the interpreter shuts down; imported before a group is open, they hold none.
import torch.distributed.nn.functional
from torch import Tensor, nn

T = TypeVar("T")


def rank_and_size() -> tuple[int, int]:
    """This process's rank and the number of processes; (0, 1) without torchrun."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def leave_group() -> None:
    """Part from the other processes when all have arrived here; does nothing on one process.

    A process that exits with the group still open can abort another one in the middle of its exit.
    """
    if rank_and_size()[1] > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class StepStatus:
    """What all processes know of one batch.

    Arguments
    ---------
    count : int
        Utterances of the global batch.
    loss_sum : float
        Sum of the losses of its utterances; meaningless unless finite.
    finite : bool
        The loss is finite on every process.
    stop : bool
        Some process was asked to stop.
    """

    count: int
    loss_sum: float
    finite: bool
    stop: bool


def agree_on_step(loss: Tensor, count: int, stop: bool) -> StepStatus:
    """Exchange the state of a batch, so that all processes skip or stop together.

    Arguments
    ---------
    loss : Tensor
        Scalar mean loss of this process's utterances.
    count : int
        Number of them.
    stop : bool
        This process was asked to stop.

    Returns
    -------
    StepStatus
        The same on every process.
    """
    value = loss.detach().double()
    finite = torch.isfinite(value)
    total = torch.where(finite, value * count, torch.zeros_like(value))
    status = torch.stack(
        [
            total,
            torch.full_like(value, count),
            (~finite).double(),
            torch.full_like(value, float(stop)),
        ]
    )
    if rank_and_size()[1] > 1:
        torch.distributed.all_reduce(status)
    loss_sum, global_count, bad, stops = status.tolist()
    return StepStatus(int(global_count), loss_sum, bad == 0, stops > 0)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes.

    One exchange for all parameters. (DistributedDataParallel wraps modules, which hides their
    methods, averages per process although processes hold different numbers of utterances, and must
    know unused parameters.) A parameter without a gradient on any process keeps none, so optimizers
    treat it as they would on one process.

    Arguments
    ---------
    parameters : iterable of Parameter
        The same parameters in the same order on every process.
    """
    if rank_and_size()[1] == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    pieces = [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for parameter in trained
    ]
    present = torch.tensor([float(parameter.grad is not None) for parameter in trained])
    flat = torch.cat([*(piece.reshape(-1) for piece in pieces), present.to(pieces[0])])
    torch.distributed.all_reduce(flat)
    *sums, counts = flat.split([*(piece.numel() for piece in pieces), len(trained)])
    for parameter, total, count in zip(trained, sums, counts.tolist(), strict=True):
        parameter.grad = total.view_as(parameter) if count else None


def broadcast_parameters(module: nn.Module) -> None:
    """Copy parameters and buffers of process 0 to all others."""
    if rank_and_size()[1] > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            torch.distributed.broadcast(tensor.detach(), src=0)


def gather_lists(items: list[T]) -> list[T]:
    """Concatenate the lists of all processes, on all processes.

    Arguments
    ---------
    items : list
        Picklable items of this process.

    Returns
    -------
    list
        Rank 0's items first.
    """
    _, size = rank_and_size()
    if size == 1:
        return items
    gathered: list[list[T]] = [[] for _ in range(size)]
    torch.distributed.all_gather_object(gathered, items)
    return [item for part in gathered for item in part]
