"""The lattice's kernels against the plain reference and the path along anti-diagonals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sb_alexa.losses import (
    transducer_lattice,
    transducer_lattice_diagonals,
    transducer_lattice_triton,
    triton_support,
)
from sb_alexa.losses.transducer_lattice import transducer_lattice_loss
from sb_alexa.losses.transducer_lattice_triton import lattice_backward, lattice_forward
from sb_alexa.losses.transducer_reference import reference_transducer_loss
from tests.losses.triton_kernels import (
    DEVICE,
    ROOT,
    compiling_only,
    has_package,
    on_kernels,
    outside_interpreter,
    run_interpreted,
)

Lengths = list[tuple[int, int]]  # frames and labels of each utterance
Lattice = tuple[Tensor, Tensor, Tensor, Tensor]

BATCHES: list[Lengths] = [
    [(1, 0)],
    [(1, 5), (1, 0), (1, 2)],
    [(7, 0), (2, 0)],
    [(9, 3), (4, 3), (1, 1), (9, 0)],
    [(3, 11), (5, 2)],
    [(21, 12), (2, 12), (11, 1)],
    [(3, 32)],
]


def random_lattice(lengths: Lengths, scale: float = 1.0) -> Lattice:
    """Random arcs with NaN in the padding."""
    frames, labels = (max(counts) for counts in zip(*lengths, strict=True))
    blank = torch.full((len(lengths), frames, labels + 1), torch.nan, dtype=torch.float64)
    label = torch.full((len(lengths), frames, labels), torch.nan, dtype=torch.float64)
    for item, (t, u) in enumerate(lengths):
        blank[item, :t, : u + 1] = scale * torch.randn(t, u + 1, dtype=torch.float64) - 1
        label[item, :t, :u] = scale * torch.randn(t, u, dtype=torch.float64) - 1
    num_frames, num_labels = torch.tensor(lengths).unbind(1)
    return blank.to(DEVICE), label.to(DEVICE), num_frames.to(DEVICE), num_labels.to(DEVICE)


def both_passes(
    blank: Tensor, label: Tensor, num_frames: Tensor, num_labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    alpha, log_prob = lattice_forward(blank, label, num_frames, num_labels)
    assert alpha.shape == blank.shape
    assert alpha.dtype == log_prob.dtype == torch.float64
    occupancies = lattice_backward(blank, label, alpha, log_prob, num_frames, num_labels)
    return log_prob.cpu(), occupancies[0].cpu(), occupancies[1].cpu()


def check_against_reference(
    blank: Tensor, label: Tensor, num_frames: Tensor, num_labels: Tensor
) -> Tensor:
    log_prob, of_blank, of_label = both_passes(blank, label, num_frames, num_labels)
    expected_blank = torch.zeros(blank.shape, dtype=torch.float64)
    expected_label = torch.zeros(label.shape, dtype=torch.float64)
    for item, (t, u) in enumerate(zip(num_frames.tolist(), num_labels.tolist(), strict=True)):
        reference = reference_transducer_loss(
            blank[item, :t, : u + 1].tolist(), label[item, :t, :u].tolist()
        )
        assert log_prob[item].item() == pytest.approx(-reference.loss, rel=1e-12, abs=1e-10)
        expected_blank[item, :t, : u + 1] = -torch.tensor(reference.blank_grad, dtype=torch.float64)
        expected_label[item, :t, :u] = -torch.tensor(reference.label_grad, dtype=torch.float64)
    torch.testing.assert_close(of_blank, expected_blank, atol=1e-10, rtol=0)
    torch.testing.assert_close(of_label, expected_label, atol=1e-10, rtol=0)
    return log_prob


@on_kernels
@pytest.mark.parametrize("lengths", BATCHES, ids=str)
def test_ragged_batches_with_nan_in_the_padding(lengths: Lengths) -> None:
    check_against_reference(*random_lattice(lengths))


@on_kernels
def test_arcs_of_very_different_probability() -> None:
    check_against_reference(*random_lattice([(12, 5), (5, 8)], scale=100.0))


@on_kernels
def test_lattice_wider_than_the_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transducer_lattice_triton, "_MAX_LANES", 4)
    # The last label in the first, the last and a middle lane of a stripe, and in an early stripe.
    check_against_reference(*random_lattice([(6, 8), (5, 11), (1, 10), (6, 2), (2, 0), (3, 4)]))


@on_kernels
@pytest.mark.parametrize("lanes", [4, 512])
def test_impossible_arcs(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transducer_lattice_triton, "_MAX_LANES", lanes)
    blank, label, num_frames, num_labels = random_lattice([(4, 5)] * 5)
    blank[0, 2] = -torch.inf  # no way past frame 2
    label[1, :, 3] = -torch.inf  # no way to label 4
    blank[2, 3, 5] = -torch.inf  # no end
    blank[3, 1:3, :4] = label[3, 2:, 1] = -torch.inf  # few ways, and nodes that none reaches
    log_prob = check_against_reference(blank, label, num_frames, num_labels)
    assert (log_prob == -torch.inf).tolist() == [True, True, True, False, False]


@on_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_any_floating_type_is_computed_in_float64(dtype: torch.dtype) -> None:
    blank, label, num_frames, num_labels = random_lattice([(4, 3), (6, 1)])
    check_against_reference(blank.to(dtype), label.to(dtype), num_frames, num_labels)


@on_kernels
def test_any_strides_and_small_integers() -> None:
    blank, label, num_frames, num_labels = random_lattice([(4, 3), (6, 1)])
    by_label = blank.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    wider = torch.cat([label, label], dim=2)[:, :, : label.shape[2]]
    assert not by_label.is_contiguous() and not wider.is_contiguous()
    check_against_reference(by_label, wider, num_frames.int(), num_labels.to(torch.int16))
    expanded = torch.full((1, 1, 1), -0.5, dtype=torch.float64, device=DEVICE)
    check_against_reference(
        expanded.expand_as(blank), expanded.expand_as(label), num_frames, num_labels
    )


@on_kernels
def test_a_nan_is_not_swallowed() -> None:
    for arcs in (0, 1):
        batch = random_lattice([(4, 3), (4, 3)])
        batch[arcs][0, 1, 1] = torch.nan
        log_prob, of_blank, _ = both_passes(*batch)
        assert log_prob.isnan().tolist() == [True, False]
        assert of_blank[0].isnan().any() and not of_blank[1].isnan().any()


@on_kernels
@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_loss_and_gradient_through_the_kernels(
    floor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank, label, num_frames, num_labels = random_lattice([(12, 5), (7, 4), (3, 0)])
    penalty = torch.randn(label.shape, dtype=torch.float64).to(DEVICE)
    results = []
    for passes in (transducer_lattice_triton, transducer_lattice_diagonals):
        monkeypatch.setattr(
            transducer_lattice, "use_triton", lambda _, p=passes: p is transducer_lattice_triton
        )
        blanks, labels = (x.clone().requires_grad_() for x in (blank, label))
        loss = transducer_lattice_loss(
            blanks,
            labels,
            num_frames,
            num_labels,
            fastemit_lambda=0.2,
            label_penalty=penalty,
            occupancy_floor=floor,
        )
        loss.sum().backward()
        results.append((loss, blanks.grad, labels.grad))
    torch.testing.assert_close(*results, atol=1e-10, rtol=1e-12)


@has_package
@outside_interpreter
def test_interpreted() -> None:
    run_interpreted(__file__)


@has_package
@outside_interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("width", "lanes"), [(1, 32), (200, 256), (600, 512)])
def test_kernels_compile_for_a_gpu(
    width: int, lanes: int, dtype: torch.dtype, tmp_path: Path
) -> None:
    with compiling_only(tmp_path) as compiled:
        for batch, frames, columns in ((3, 5, width), (2, 16, lanes)):
            lengths = torch.ones(batch, dtype=torch.long), torch.zeros(batch, dtype=torch.long)
            arcs = torch.zeros(batch, frames, columns, dtype=dtype)
            both_passes(arcs, arcs[:, :, 1:], *lengths)
    forward, backward, *of_other_sizes = compiled
    assert of_other_sizes == [forward, backward]
    for kernel in (forward, backward):
        assert kernel.metadata.num_warps * 32 == lanes
        # Between stripes, a thread reads what another has written: behind a barrier, not through
        # the cache of constant data and not steps ahead.
        ptx = kernel.asm["ptx"]
        assert "bar.sync" in ptx and "ld.global.nc" not in ptx and "cp.async" not in ptx
        assert kernel.asm["cubin"]


@has_package
@outside_interpreter
def test_where_triton_fails_a_warning_names_the_reason() -> None:
    # Without the interpreter there are no kernels for a CPU.
    with pytest.warns(UserWarning, match=r"runs without its kernels, and slowly, on cpu.*fails"):
        assert not triton_support._kernels_run_on.__wrapped__(torch.device("cpu"))


@outside_interpreter
def test_everything_can_be_imported_without_triton() -> None:
    script = """
import sys
sys.modules["triton"] = None
import sb_alexa.losses.transducer_arcs_triton, sb_alexa.losses.transducer_lattice_triton
from sb_alexa.losses.triton_support import has_triton
print(has_triton())
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout == "False\n", result.stderr
