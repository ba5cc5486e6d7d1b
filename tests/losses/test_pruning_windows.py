"""The windows of the pruned loss: always passable, and where the alignments are."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.losses.pruning_windows import pruning_windows, window_cells
from sb_alexa.losses.transducer import transducer_lattice_loss


def random_occupancies(
    num_frames: Tensor, num_labels: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    frames, labels = int(num_frames.max()), int(num_labels.max())
    blank = scale * torch.randn(len(num_frames), frames, labels + 1, dtype=torch.float64)
    label = scale * torch.randn(len(num_frames), frames, labels, dtype=torch.float64)
    arcs = [blank.requires_grad_(), label.requires_grad_()]
    loss = transducer_lattice_loss(*arcs, num_frames, num_labels)
    blank_grad, label_grad = torch.autograd.grad(loss.sum(), arcs)
    return -blank_grad, -label_grad


lengths_of_items = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 14)), min_size=1, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(lengths_of_items, st.integers(2, 7), st.sampled_from([0.0, 1.0, 50.0]), st.integers(0, 99))
def test_windows_always_leave_an_alignment(
    lengths: list[tuple[int, int]], pruning_range: int, scale: float, seed: int
) -> None:
    torch.manual_seed(seed)
    num_frames, num_labels = (torch.tensor(counts) for counts in zip(*lengths, strict=True))
    blank, label = random_occupancies(num_frames, num_labels, scale)
    start, size = pruning_windows(blank, label, num_frames, num_labels, pruning_range)
    cells = window_cells(start, size, num_frames, blank.shape[2])
    for item, (t, u) in enumerate(lengths):
        s = int(size[item])
        assert s == min(max(pruning_range, math.ceil(u / t) + 1), u + 1)
        first = start[item, :t]
        assert first[0] == 0 and first[-1] + s - 1 == u
        steps = first.diff()
        assert (steps >= 0).all() and (steps < max(s, 2)).all()
        assert cells[item].sum() == s * t
        assert not cells[item, t:].any() and not cells[item, :, u + 1 :].any()
    nothing = torch.zeros_like(blank).masked_fill(~cells, -torch.inf)
    loss = transducer_lattice_loss(nothing, nothing[:, :, :-1], num_frames, num_labels)
    assert loss.isfinite().all()


@pytest.mark.parametrize("pruning_range", [3, 4, 5])
def test_windows_lie_around_a_sure_alignment(pruning_range: int) -> None:
    onsets = [3, 7, 8, 15, 15, 16, 22]
    blank, label = torch.zeros(1, 30, 8).double(), torch.zeros(1, 30, 7).double()
    after = torch.tensor([sum(onset <= t for onset in onsets) for t in range(30)])
    blank[0, torch.arange(30), after] = 1
    label[0, onsets, torch.arange(7)] = 1
    start, size = pruning_windows(
        blank, label, torch.tensor([30]), torch.tensor([7]), pruning_range
    )
    cells = window_cells(start, size, torch.tensor([30]), 8)
    assert cells[0, torch.arange(30), after].all()
    assert cells[0, onsets, torch.arange(7)].all()
    inside = slice(10, 15)  # three labels emitted, far from both ends
    distance = (start[0, inside] + (pruning_range - 1) / 2 - 3).abs()
    assert (distance <= 0.5).all()


def test_windows_keep_most_alignments() -> None:
    """On one frame of occupancies, against the share of alignments counted by hand."""
    blank = torch.tensor([[[1.0, 0, 0, 0, 0], [0.1, 0.4, 0.1, 0.1, 0.3], [0, 0, 0, 0, 1.0]]])
    label = torch.tensor([[[0.0, 0, 0, 0], [0.9, 0.5, 0.4, 0.3], [0.1, 0.5, 0.6, 0.7]]])
    start, _ = pruning_windows(
        blank.double(), label.double(), torch.tensor([3]), torch.tensor([4]), 3
    )
    # Histories 0..2 keep 0.6; 1..3 hold as much occupancy, but 0.9 come in from below.
    assert start.tolist() == [[0, 0, 2]]
