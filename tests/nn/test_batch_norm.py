from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sb_alexa.lengths import length_mask
from sb_alexa.nn.batch_norm import MaskedBatchNorm


def _batch() -> tuple[Tensor, Tensor]:
    x = 5 + 2 * torch.randn(4, 9, 3, dtype=torch.float64)
    return x, torch.tensor([9, 2, 5, 1])


def test_equals_torch_on_the_valid_frames() -> None:
    x, num_steps = _batch()
    valid = length_mask(num_steps, x.shape[1])
    ours, theirs = MaskedBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    theirs.load_state_dict(ours.state_dict())  # the names are torch's
    for _ in range(2):
        x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
        actual, expected = ours(x1, num_steps)[valid], theirs(x2[valid])
        assert torch.allclose(actual, expected, atol=1e-12)
        weights = torch.randn_like(expected)
        (actual * weights).sum().backward()
        (expected * weights).sum().backward()
        assert x1.grad is not None and x2.grad is not None
        assert torch.allclose(x1.grad, x2.grad, atol=1e-12)
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-12), name
    actual, expected = ours.eval()(x)[valid], theirs.eval()(x[valid])
    assert torch.allclose(actual, expected, atol=1e-12)


def test_padding_leaves_no_trace() -> None:
    x, num_steps = _batch()
    longer = torch.cat([x, torch.full((4, 6, 3), 1e6, dtype=torch.float64)], dim=1)
    short, long = MaskedBatchNorm(3).double(), MaskedBatchNorm(3).double()
    assert torch.allclose(short(x, num_steps), long(longer, num_steps)[:, :9], atol=1e-12)
    assert torch.equal(short.running_var, long.running_var)


def test_a_batch_without_frames_is_harmless() -> None:
    norm = MaskedBatchNorm(3)
    y = norm(torch.randn(2, 4, 3), torch.tensor([0, 0]))
    assert bool(y.isfinite().all()) and bool(norm.running_var.isfinite().all())


def test_large_mean_costs_no_precision() -> None:
    x = 1000 + torch.randn(8, 50, 3)
    y = MaskedBatchNorm(3)(x, torch.full((8,), 50))
    assert torch.allclose(y, nn.BatchNorm1d(3)(x.flatten(0, 1)).view_as(x), atol=2e-3)


def test_keeps_the_precision_of_its_input() -> None:
    norm = MaskedBatchNorm(3)
    assert norm(torch.randn(2, 5, 3).bfloat16()).dtype == torch.bfloat16
    assert norm.eval()(torch.randn(2, 5, 3).bfloat16()).dtype == torch.bfloat16
    assert norm.running_mean.dtype == torch.float32


def test_speechbrain_does_not_replace_it() -> None:
    model = nn.Sequential(MaskedBatchNorm(3))
    assert isinstance(nn.SyncBatchNorm.convert_sync_batchnorm(model)[0], MaskedBatchNorm)


def test_input_is_checked() -> None:
    with pytest.raises(ValueError, match=r"takes input of shape \(B, T, 3\), got \(2, 3, 5\)"):
        MaskedBatchNorm(3)(torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match="momentum must be in"):
        MaskedBatchNorm(3, momentum=2.0)


def _train_step(norm: MaskedBatchNorm, x: Tensor, num_steps: Tensor) -> tuple[Tensor, Tensor]:
    """The output and the gradient of an objective summed over the rows."""
    x = x.clone().requires_grad_()
    y = norm(x, num_steps) * length_mask(num_steps, x.shape[1])[..., None]
    (y**3).sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad


def _one_of_two_processes(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    x, num_steps = torch.load(f"{folder}/batch.pt")
    mine = slice(0, 3) if rank == 0 else slice(3, 4)
    norm = MaskedBatchNorm(3).double()
    result = _train_step(norm, x[mine], num_steps[mine])
    assert norm.weight.grad is not None
    weight_grad = norm.weight.grad.clone()
    dist.all_reduce(weight_grad)
    torch.save((*result, norm.state_dict(), weight_grad), f"{folder}/result{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    x, num_steps = _batch()
    torch.save((x, num_steps), tmp_path / "batch.pt")
    torch.multiprocessing.spawn(_one_of_two_processes, (str(tmp_path),), nprocs=2)
    norm = MaskedBatchNorm(3).double()
    expected, expected_grad = _train_step(norm, x, num_steps)
    parts = [torch.load(tmp_path / f"result{rank}.pt") for rank in (0, 1)]
    assert torch.allclose(torch.cat([part[0] for part in parts]), expected, atol=1e-12)
    assert torch.allclose(torch.cat([part[1] for part in parts]), expected_grad, atol=1e-12)
    assert norm.weight.grad is not None
    for _, _, statistics, weight_grad in parts:
        assert torch.allclose(statistics["running_var"], norm.running_var, atol=1e-12)
        assert torch.allclose(statistics["running_mean"], norm.running_mean, atol=1e-12)
        assert torch.allclose(weight_grad, norm.weight.grad, atol=1e-12)
