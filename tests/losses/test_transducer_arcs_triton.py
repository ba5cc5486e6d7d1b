"""The kernels of the arcs against autograd in float64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sb_alexa.losses import transducer_arcs
from sb_alexa.losses.transducer_arcs_triton import arc_log_probs, logits_gradient_
from tests.losses.triton_kernels import (
    DEVICE,
    compiling_only,
    has_package,
    on_kernels,
    outside_interpreter,
    run_interpreted,
)

# One block of all lanes, of some lanes, and several blocks of which the last has one output.
SIZES = [2, 32, 37, 500, 1024, 2049]
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 2e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}


def random_rows(
    num_rows: int, num_outputs: int, blank_index: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Logits and labels, of which every third cell has none."""
    logits = 3 * torch.randn(num_rows, num_outputs, dtype=torch.float64)
    labels = torch.randint(num_outputs - 1, (num_rows,))
    labels += labels >= blank_index
    labels[::3] = -1
    return logits.to(DEVICE, dtype), labels.to(DEVICE)


def expected_arcs(logits: Tensor, labels: Tensor, blank_index: int) -> tuple[Tensor, ...]:
    wide = logits.double()
    log_probs = wide.log_softmax(1)
    label = log_probs.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    label = label.masked_fill(labels < 0, -torch.inf)
    return wide.logsumexp(1), log_probs[:, blank_index], label


def expected_gradient(
    logits: Tensor, labels: Tensor, blank_index: int, grad_blank: Tensor, grad_label: Tensor
) -> Tensor:
    leaf = logits.detach().double().requires_grad_()
    _, blank, label = expected_arcs(leaf, labels, blank_index)
    has_label = labels >= 0
    (blank @ grad_blank.double() + label[has_label] @ grad_label[has_label].double()).backward()
    assert leaf.grad is not None
    return leaf.grad


def random_grads(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of both signs; NaN where it must not be looked at."""
    grad_blank, grad_label = torch.randn(2, len(labels), dtype=torch.float64).to(DEVICE)
    return grad_blank, grad_label.masked_fill(labels < 0, torch.nan)


def check(logits: Tensor, labels: Tensor, blank_index: int) -> None:
    tolerance = TOLERANCE[logits.dtype]
    expected = expected_arcs(logits, labels, blank_index)
    arcs = arc_log_probs(logits, labels, blank_index)
    assert [x.dtype for x in arcs] == [torch.float64] * 3
    # Sums are float32 for 16-bit logits too.
    torch.testing.assert_close(arcs, expected, atol=min(tolerance, 2e-6), rtol=0)
    grads = random_grads(labels)
    expected_grad = expected_gradient(logits, labels, blank_index, *grads)
    result = logits_gradient_(logits, labels, blank_index, arcs[0], *grads)
    assert result is logits
    torch.testing.assert_close(logits.double(), expected_grad, atol=tolerance, rtol=tolerance)


@on_kernels
@pytest.mark.parametrize("num_outputs", SIZES)
def test_float64(num_outputs: int) -> None:
    for blank_index in {0, num_outputs - 1}:
        check(*random_rows(6, num_outputs, blank_index), blank_index)


@on_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_narrow_types(dtype: torch.dtype) -> None:
    check(*random_rows(6, 1030, 3, dtype), 3)


@on_kernels
def test_any_strides() -> None:
    rows, labels = random_rows(8, 80, 0)
    padded = torch.full((8, 128), torch.nan, dtype=torch.float64, device=DEVICE)
    padded[:, 16:96] = rows
    by_output = rows.t().contiguous().t()
    every_other = rows[::2].clone().repeat_interleave(2, 0)[::2]
    check(padded[:, 16:96], labels, 0)
    assert padded[:, :16].isnan().all() and padded[:, 96:].isnan().all()
    check(by_output, labels, 0)
    check(every_other, labels.repeat_interleave(2)[::4], 0)


@on_kernels
def test_another_tensor_for_the_gradient() -> None:
    logits, labels = random_rows(5, 70, 2)
    before, grads = logits.clone(), random_grads(labels)
    out = torch.full((5, 90), torch.nan, dtype=torch.float64, device=DEVICE)[:, :70]
    normaliser = arc_log_probs(logits, labels, 2)[0]
    assert logits_gradient_(logits, labels, 2, normaliser, *grads, out=out) is out
    torch.testing.assert_close(out, expected_gradient(before, labels, 2, *grads))
    assert torch.equal(logits, before)
    with pytest.raises(ValueError, match=r"out must have the shape of logits, \(5, 70\)"):
        logits_gradient_(logits, labels, 2, normaliser, *grads, out=out[:4])


@on_kernels
def test_rows_without_gradient_may_hold_anything() -> None:
    logits, labels = random_rows(4, 40, 0)
    logits[1], logits[2] = torch.nan, -torch.inf
    grad_blank, grad_label = random_grads(labels)
    grad_blank[1:3] = grad_label[1:3] = 0
    expected = expected_gradient(logits[[0, 3]], labels[[0, 3]], 0, *_rows(grad_blank, grad_label))
    normaliser, blank, label = arc_log_probs(logits, labels, 0)
    assert blank[1].isnan() and label[1].isnan()  # not swallowed by a maximum
    assert normaliser[2] == blank[2] == label[2] == -torch.inf
    logits_gradient_(logits, labels, 0, normaliser, grad_blank, grad_label)
    assert not logits[1:3].any()
    torch.testing.assert_close(logits[[0, 3]], expected)


def _rows(*columns: Tensor) -> list[Tensor]:
    return [column[[0, 3]] for column in columns]


@on_kernels
def test_extreme_logits() -> None:
    logits, labels = random_rows(4, 1300, 0)
    logits[0] *= 1e5
    logits[1, 1:1200] = -torch.inf  # a whole block but the blank
    logits[2, 0] = logits[2, 1100:] = -torch.inf
    logits[3, :] = 300.0
    labels[:] = torch.tensor([7, -1, 5, 9])
    normaliser, blank, label = arc_log_probs(logits, labels, 0)
    expected = expected_arcs(logits, labels, 0)
    torch.testing.assert_close((normaliser, blank, label), expected, atol=1e-10, rtol=1e-14)
    assert blank[2] == -torch.inf
    assert label[3].item() == pytest.approx(-math.log(1300), abs=1e-12)
    grads = random_grads(labels)
    expected_grad = expected_gradient(logits, labels, 0, *grads)
    logits_gradient_(logits, labels, 0, normaliser, *grads)
    torch.testing.assert_close(logits, expected_grad, atol=1e-10, rtol=0)


@on_kernels
def test_float32_keeps_its_digits_where_logits_are_large() -> None:
    logits, labels = random_rows(8, 50, 0, torch.float32)
    logits += 1000.0
    grads = random_grads(labels)
    expected = expected_gradient(logits, labels, 0, *grads)
    normaliser, blank, _ = arc_log_probs(logits, labels, 0)
    torch.testing.assert_close(blank, logits.double().log_softmax(1)[:, 0], atol=2e-6, rtol=0)
    logits_gradient_(logits, labels, 0, normaliser, *grads)
    torch.testing.assert_close(logits.double(), expected, atol=2e-6, rtol=0)


@on_kernels
def test_no_cells_and_types_of_the_lattice() -> None:
    logits, labels = random_rows(0, 20, 0)
    arcs = arc_log_probs(logits, labels, 0)
    assert [x.shape for x in arcs] == [(0,)] * 3
    assert logits_gradient_(logits, labels, 0, *arcs).shape == (0, 20)
    # Gradients of float32 and small labels, as from a lattice in another type.
    logits, labels = random_rows(4, 20, 0, torch.float32)
    grads = [grad.float() for grad in random_grads(labels)]
    expected = expected_gradient(logits, labels, 0, *grads)
    normaliser = arc_log_probs(logits, labels.int(), 0)[0].float()
    logits_gradient_(logits, labels.int(), 0, normaliser, *grads)
    torch.testing.assert_close(logits.double(), expected, atol=3e-6, rtol=0)


@on_kernels
def test_chosen_by_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = random_rows(6, 37, 0)
    grad_blank, grad_label = -torch.rand(2, 6, dtype=torch.float64).to(DEVICE)
    grad_label[labels < 0] = 0
    results = []
    for on_triton in (True, False):
        monkeypatch.setattr(transducer_arcs, "use_triton", lambda _, on=on_triton: on)
        arcs = transducer_arcs.arc_log_probs(logits, labels, 0)
        grads = arcs[0], grad_blank, grad_label
        gradient = transducer_arcs.logits_gradient(logits, labels, 0, *grads)
        results.append((*arcs, gradient))
    torch.testing.assert_close(*results, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("shape", "dtype", "num_labels", "blank_index", "message"),
    [
        ((2, 3, 4), torch.float32, 2, 0, r"logits \(N, V\) .* got \(2, 3, 4\)"),
        ((2, 4), torch.int64, 2, 0, "floating type"),
        ((2, 4), torch.float32, 3, 0, r"labels \(N,\), got \(2, 4\) .* \(3,\)"),
        ((2, 4), torch.float32, 2, 4, r"blank_index must be in 0\.\.3, got 4"),
        ((2, 4), torch.float32, 2, -1, r"blank_index must be in 0\.\.3, got -1"),
    ],
)
def test_wrong_shapes_are_named(
    shape: tuple[int, ...], dtype: torch.dtype, num_labels: int, blank_index: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        arc_log_probs(torch.zeros(shape, dtype=dtype), torch.zeros(num_labels).long(), blank_index)


@has_package
@outside_interpreter
def test_interpreted() -> None:
    run_interpreted(__file__)


@has_package
@outside_interpreter
@pytest.mark.parametrize(
    ("num_outputs", "dtype", "loads"),
    [
        (2500, torch.float32, ".v4."),  # 16 bytes in each load
        (2500, torch.bfloat16, ".v2."),  # 8 bytes, as rows begin at multiples of 8
        (4097, torch.float16, "ld.global.b16"),
        (32, torch.float64, "ld.global.b64"),
        (1, torch.float32, "ld.global.b32"),
    ],
)
def test_kernels_compile_for_a_gpu(
    num_outputs: int, dtype: torch.dtype, loads: str, tmp_path: Path
) -> None:
    def launch(logits: Tensor, of_cells: Tensor) -> None:
        arc_log_probs(logits, of_cells.long(), 0)
        logits_gradient_(logits, of_cells.long(), 0, of_cells, of_cells, of_cells)

    with compiling_only(tmp_path) as compiled:
        launch(torch.zeros(6, num_outputs, dtype=dtype), torch.zeros(6).double())
        # Cells of a slice may begin anywhere.
        launch(torch.zeros(3, num_outputs, dtype=dtype), torch.zeros(4).double()[1:])
    forward, backward, *of_other_slice = compiled
    assert of_other_slice == [forward, backward]
    for kernel in (forward, backward):
        assert loads in kernel.asm["ptx"]
        assert kernel.asm["cubin"]


@has_package
@outside_interpreter
def test_kernels_compile_for_other_strides(tmp_path: Path) -> None:
    by_output = torch.zeros(40, 6).t()
    of_cells, out = torch.zeros(6), torch.zeros(6, 50, dtype=torch.bfloat16)[:, 1:41]
    with compiling_only(tmp_path) as compiled:
        arc_log_probs(by_output, of_cells.long(), 1)
        logits_gradient_(by_output, of_cells.long(), 1, of_cells, of_cells, of_cells, out=out)
    assert all(kernel.asm["cubin"] for kernel in compiled) and len(compiled) == 2
