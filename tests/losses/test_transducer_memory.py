"""What the transducer loss holds: never the logits of a lattice, nothing that grows with V."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sb_alexa.losses.transducer import transducer_loss, transducer_loss_from_logits
from sb_alexa.transducer.joiner import Joiner

B, T, U, C = 4, 60, 9, 8
CELLS = B * T * (U + 1)
BUDGET_MIB = 0.25
MIB = 2**20


def forward_and_backward(
    num_outputs: int,
    *,
    activation: Callable[[], nn.Module] = nn.Tanh,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Callable[[], None]:
    joiner = Joiner(
        encoder_size=C, predictor_size=C, num_labels=num_outputs, activation=activation
    ).to(dtype)
    encoder_out = torch.randn(B, T, C, dtype=dtype, requires_grad=True)
    predictor_out = torch.randn(B, U + 1, C, dtype=dtype, requires_grad=True)
    targets = torch.randint(1, num_outputs, (B, U))

    def run() -> None:
        loss = transducer_loss(
            encoder_out,
            predictor_out,
            joiner,
            targets,
            num_frames=torch.full((B,), T),
            num_labels=torch.full((B,), U),
            **{"memory_budget_mib": BUDGET_MIB, **options},
        )
        loss.backward()

    return run


class LargestTensor(TorchDispatchMode):
    """The largest tensor that any operation gave back, in bytes of its storage."""

    num_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                self.num_bytes = max(self.num_bytes, x.untyped_storage().nbytes())
        return result


def peak_bytes(function: Callable[[], None], folder: Path) -> int:
    """How far torch's own allocations rise above the level at the first of them."""
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profiled:
        function()
    path = folder / "trace.json"
    profiled.export_chrome_trace(str(path))
    events = [
        event["args"]
        for event in json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
        if event.get("name") == "[memory]"
    ]
    start = events[0]["Total Allocated"] - events[0]["Bytes"]
    return max(event["Total Allocated"] for event in events) - start


def test_the_ways_to_measure_see_dense_logits(tmp_path: Path) -> None:
    def dense() -> None:
        torch.zeros(CELLS, 100).log_softmax(-1)

    with LargestTensor() as largest:
        dense()
    assert largest.num_bytes == CELLS * 100 * 4
    assert 2 * CELLS * 100 * 4 <= peak_bytes(dense, tmp_path) < 2.1 * CELLS * 100 * 4


@pytest.mark.parametrize("options", [{}, {"occupancy_floor": 1e-3}, {"fastemit_lambda": 0.1}])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.PReLU])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_tensor_beyond_the_budget(
    activation: Callable[[], nn.Module], dtype: torch.dtype, options: dict
) -> None:
    run = forward_and_backward(1500, activation=activation, dtype=dtype, **options)
    with LargestTensor() as largest:
        run()
    one_frame, weights = (U + 1) * 1500 * 4, 1500 * C * 4
    assert largest.num_bytes <= max(BUDGET_MIB * MIB, one_frame, weights, CELLS * 8 * 2)
    # The logits of an utterance would be many times as large.
    assert largest.num_bytes < T * (U + 1) * 1500 * dtype.itemsize / 5


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU])
def test_peak_does_not_grow_with_the_vocabulary(
    activation: Callable[[], nn.Module], tmp_path: Path
) -> None:
    peaks = {
        num_outputs: peak_bytes(forward_and_backward(num_outputs, activation=activation), tmp_path)
        for num_outputs in (300, 2400)
    }
    # Gradients of weight and bias, the latter summed in float64; and some bytes for each cell.
    of_weights = {v: v * (C * 4 + 4 + 8) for v in peaks}
    assert peaks[2400] - peaks[300] <= of_weights[2400] - of_weights[300] + 0.3 * BUDGET_MIB * MIB
    assert peaks[2400] < 2 * BUDGET_MIB * MIB + of_weights[2400] + CELLS * 120
    assert peaks[2400] < CELLS * 2400 * 4 / 10


@pytest.mark.parametrize("budget_mib", [0.5, 1.0])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.PReLU])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_budget_is_kept(
    activation: Callable[[], nn.Module], dtype: torch.dtype, budget_mib: float, tmp_path: Path
) -> None:
    run = forward_and_backward(
        500, activation=activation, dtype=dtype, memory_budget_mib=budget_mib
    )
    per_cell = 80  # arcs, their gradients, the lattice
    assert peak_bytes(run, tmp_path) <= 1.1 * budget_mib * MIB + per_cell * CELLS


def test_a_small_problem_has_small_buffers(tmp_path: Path) -> None:
    run = forward_and_backward(5, memory_budget_mib=None)
    assert peak_bytes(run, tmp_path) < CELLS * 400


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ready_logits_have_one_gradient_and_no_copies(dtype: torch.dtype, tmp_path: Path) -> None:
    logits = torch.randn(B, T, U + 1, 600, requires_grad=True, dtype=dtype)
    targets = torch.randint(1, 600, (B, U))

    def run() -> None:
        loss = transducer_loss_from_logits(logits, targets, torch.ones(B), torch.ones(B), 0)
        torch.autograd.grad(loss, logits)

    size = logits.numel() * dtype.itemsize
    assert peak_bytes(run, tmp_path) < size + 4 * MIB + CELLS * 120
    assert size > 2 * MIB
