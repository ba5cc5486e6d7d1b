"""The lattice loss against enumeration, the plain reference and its own numerical derivative."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.losses.transducer_lattice import transducer_lattice_loss
from sb_alexa.losses.transducer_reference import reference_transducer_loss


def random_lattice(
    batch: int, frames: int, labels: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    blank = (torch.randn(batch, frames, labels + 1, dtype=torch.float64) - 1).to(dtype)
    label = (torch.randn(batch, frames, labels, dtype=torch.float64) - 1).to(dtype)
    return blank.requires_grad_(), label.requires_grad_()


def enumerated(blank: Tensor, label: Tensor) -> tuple[float, Tensor, Tensor]:
    """Loss and arc occupancies of one utterance from the list of all its alignments."""
    frames, labels = label.shape
    total = 0.0
    of_blank, of_label = torch.zeros_like(blank), torch.zeros_like(label)
    # An alignment is a choice of places for the labels among all arcs but the last, a blank.
    for places in combinations(range(frames + labels - 1), labels):
        t = u = 0
        arcs, log_prob = [], 0.0
        for step in range(frames + labels):
            arcs.append((step in places, t, u))
            log_prob += float(label[t, u] if step in places else blank[t, u])
            t, u = (t, u + 1) if step in places else (t + 1, u)
        total += math.exp(log_prob)
        for is_label, t, u in arcs:
            (of_label if is_label else of_blank)[t, u] += math.exp(log_prob)
    return -math.log(total), of_blank / total, of_label / total


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 4),
    labels=st.integers(0, 4),
    fastemit=st.sampled_from([0.0, 0.3]),
    penalised=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_value_and_gradients_are_those_of_all_alignments(
    frames: int, labels: int, fastemit: float, penalised: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    blank, label = random_lattice(1, frames, labels)
    penalty = torch.randn(1, frames, labels, dtype=torch.float64) if penalised else None
    loss = transducer_lattice_loss(
        blank,
        label,
        torch.tensor([frames]),
        torch.tensor([labels]),
        fastemit_lambda=fastemit,
        label_penalty=penalty,
    )
    loss.sum().backward()
    scored = label if penalty is None else label + penalty
    expected, of_blank, of_label = enumerated(blank[0].detach(), scored[0].detach())
    assert loss.item() == pytest.approx(expected, abs=1e-10)
    assert blank.grad is not None and label.grad is not None
    torch.testing.assert_close(blank.grad[0], -of_blank, atol=1e-10, rtol=0)
    torch.testing.assert_close(label.grad[0], -(1 + fastemit) * of_label, atol=1e-10, rtol=0)

    reference = reference_transducer_loss(
        blank[0].tolist(),
        label[0].tolist(),
        fastemit_lambda=fastemit,
        label_penalty=None if penalty is None else penalty[0].tolist(),
    )
    assert reference.loss == pytest.approx(expected, abs=1e-10)
    torch.testing.assert_close(
        torch.tensor(reference.blank_grad, dtype=torch.float64), -of_blank, atol=1e-10, rtol=0
    )


def test_batch_of_unequal_lengths_equals_the_reference_and_ignores_nan_padding() -> None:
    num_frames, num_labels = torch.tensor([40, 1, 3, 1, 17]), torch.tensor([9, 0, 12, 12, 0])
    blank, label = random_lattice(5, 40, 12)
    penalty = -torch.rand(5, 40, 12, dtype=torch.float64)
    with torch.no_grad():
        for item, (t, u) in enumerate(zip(num_frames, num_labels, strict=True)):
            for tensor, width in ((blank, u + 1), (label, u), (penalty, u)):
                tensor[item, t:] = torch.nan
                tensor[item, :, width:] = torch.nan
    weights = torch.rand(5, dtype=torch.float64) + 0.5
    loss = transducer_lattice_loss(
        blank, label, num_frames, num_labels, fastemit_lambda=0.01, label_penalty=penalty
    )
    (loss * weights).sum().backward()
    assert blank.grad is not None and label.grad is not None
    for item, (t, u) in enumerate(zip(num_frames.tolist(), num_labels.tolist(), strict=True)):
        expected = reference_transducer_loss(
            blank[item, :t, : u + 1].tolist(),
            label[item, :t, :u].tolist(),
            fastemit_lambda=0.01,
            label_penalty=penalty[item, :t, :u].tolist(),
        )
        assert loss[item].item() == pytest.approx(expected.loss, abs=1e-10)
        of_blank = torch.zeros(40, 13, dtype=torch.float64)
        of_label = torch.zeros(40, 12, dtype=torch.float64)
        of_blank[:t, : u + 1] = torch.tensor(expected.blank_grad, dtype=torch.float64)
        of_label[:t, :u] = torch.tensor(expected.label_grad, dtype=torch.float64)
        torch.testing.assert_close(blank.grad[item], weights[item] * of_blank, atol=1e-9, rtol=0)
        torch.testing.assert_close(label.grad[item], weights[item] * of_label, atol=1e-9, rtol=0)


def test_gradcheck_with_penalty() -> None:
    blank, label = random_lattice(3, 4, 3)
    penalty = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 1, 3]), torch.tensor([2, 3, 0])

    def loss(blank: Tensor, label: Tensor, penalty: Tensor) -> Tensor:
        return transducer_lattice_loss(blank, label, *lengths, label_penalty=penalty)

    assert torch.autograd.gradcheck(loss, (blank, label, penalty))


def test_fastemit_is_the_gradient_with_the_label_occupancies_frozen() -> None:
    logits = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 2]), torch.tensor([2, 1])
    weight = 0.25

    def arcs(logits: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = logits.log_softmax(-1)
        return log_probs[..., 0], log_probs[:, :, :2, 3]

    blank, label = arcs(logits)
    plain = transducer_lattice_loss(blank, label, *lengths)
    (occupancy,) = torch.autograd.grad(-plain.sum(), label, retain_graph=True)
    fast = transducer_lattice_loss(blank, label, *lengths, fastemit_lambda=weight)
    assert torch.equal(fast, plain)
    (actual,) = torch.autograd.grad(fast.sum(), logits)

    def frozen(logits: Tensor) -> Tensor:
        blank, label = arcs(logits)
        loss = transducer_lattice_loss(blank, label, *lengths).sum()
        return loss - weight * (occupancy * label).sum()

    step = 1e-6
    numeric = torch.zeros_like(logits)
    for place in range(logits.numel()):
        nudge = torch.zeros_like(logits).view(-1)
        nudge[place] = step
        nudge = nudge.view_as(logits)
        with torch.no_grad():
            change = frozen(logits + nudge) - frozen(logits - nudge)
        numeric.view(-1)[place] = change / (2 * step)
    torch.testing.assert_close(actual, numeric, atol=1e-8, rtol=0)


def test_impossible_utterance_has_infinite_loss_and_no_gradient() -> None:
    blank, label = random_lattice(3, 3, 2)
    with torch.no_grad():
        label[1, :, 1] = -torch.inf  # the second label can never be emitted
        label[2, 0, :] = -torch.inf  # only later: an unreachable corner, still possible
        blank[2, 2, 0] = -torch.inf
    loss = transducer_lattice_loss(blank, label, torch.tensor([3, 2, 3]), torch.tensor([2, 2, 2]))
    assert loss[1] == torch.inf
    assert loss[[0, 2]].isfinite().all()
    loss.sum().backward()
    assert blank.grad is not None and label.grad is not None
    assert not blank.grad[1].any() and not label.grad[1].any()
    assert blank.grad.isfinite().all() and label.grad.isfinite().all()
    assert blank.grad[2].sum().item() == pytest.approx(-3)


@pytest.mark.parametrize("frames,labels", [(1000, 150), (3, 200), (1, 1), (1, 0)])
def test_every_alignment_has_a_blank_per_frame_and_an_arc_per_label(
    frames: int, labels: int
) -> None:
    blank, label = random_lattice(1, frames, labels, torch.float32)
    with torch.no_grad():
        blank.mul_(20)  # a confident model: most occupancies vanish
        label.mul_(20)
    loss = transducer_lattice_loss(blank, label, torch.tensor([frames]), torch.tensor([labels]))
    assert loss.dtype == torch.float32 and loss.isfinite().all()
    loss.sum().backward()
    assert blank.grad is not None and label.grad is not None
    per_frame = blank.grad.double().sum(2)
    torch.testing.assert_close(per_frame, -torch.ones_like(per_frame), atol=1e-6, rtol=0)
    per_label = label.grad.double().sum(1)
    torch.testing.assert_close(per_label, -torch.ones_like(per_label), atol=1e-6, rtol=0)
    smallest = blank.grad[blank.grad != 0].abs().min()
    assert smallest >= torch.finfo(torch.float32).tiny  # no denormal numbers


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_input_under_autocast_runs_in_double(dtype: torch.dtype) -> None:
    blank, label = random_lattice(2, 60, 20, dtype)
    lengths = torch.tensor([60, 33]), torch.tensor([20, 20])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = transducer_lattice_loss(blank, label, *lengths)
        loss.sum().backward()
    exact = transducer_lattice_loss(blank.double(), label.double(), *lengths)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact.float(), rtol=1e-6, atol=0)
    assert blank.grad is not None and blank.grad.dtype == dtype
    assert blank.grad.isfinite().all()


def test_nan_inside_of_an_utterance_shows_in_its_own_loss_only() -> None:
    blank, label = random_lattice(2, 3, 2)
    with torch.no_grad():
        blank[0, 1, 1] = torch.nan
    loss = transducer_lattice_loss(blank, label, torch.tensor([3, 3]), torch.tensor([2, 2]))
    assert loss[0].isnan() and loss[1].isfinite()


@pytest.mark.parametrize(
    "num_frames,num_labels,message",
    [
        ([3, 0], [1, 1], "num_frames of item 1 is 0, expected 1..3"),
        ([4, 1], [1, 1], "num_frames of item 0 is 4, expected 1..3"),
        ([3, 3], [1, 3], "num_labels of item 1 is 3, expected 0..2"),
        ([3, 3], [-1, 2], "num_labels of item 0 is -1, expected 0..2"),
        ([1.0, 0.5], [1, 1], "num_frames must hold .* integers"),
        ([3], [1, 1], "num_frames must hold .* integers"),
    ],
)
def test_wrong_lengths_are_named(num_frames: list, num_labels: list, message: str) -> None:
    blank, label = random_lattice(2, 3, 2)
    with pytest.raises(ValueError, match=message):
        transducer_lattice_loss(blank, label, torch.tensor(num_frames), torch.tensor(num_labels))


def test_wrong_shapes_are_named() -> None:
    blank, label = random_lattice(2, 3, 2)
    lengths = torch.tensor([3, 3]), torch.tensor([1, 1])
    with pytest.raises(ValueError, match=r"got \(2, 3, 3\) and \(2, 3, 3\)"):
        transducer_lattice_loss(blank, blank, *lengths)
    with pytest.raises(ValueError, match="label_penalty must have the shape"):
        transducer_lattice_loss(blank, label, *lengths, label_penalty=blank.detach())


@pytest.mark.parametrize("floor", [1e-6, 1e-2, 0.5])
def test_cells_below_the_floor_have_no_gradient_and_the_others_their_own(floor: float) -> None:
    blank, label = random_lattice(2, 30, 8)
    with torch.no_grad():
        blank.mul_(3)
        label.mul_(3)
    lengths = torch.tensor([30, 17]), torch.tensor([8, 5])
    options = {"fastemit_lambda": 0.2, "label_penalty": -torch.rand(2, 30, 8)}
    exact = transducer_lattice_loss(blank, label, *lengths, **options)  # type: ignore[arg-type]
    of_blank, of_label = torch.autograd.grad(exact.sum(), (blank, label))
    occupancy = -of_blank.clone()
    occupancy[:, :, :-1] -= of_label / 1.2
    loss = transducer_lattice_loss(
        blank,
        label,
        *lengths,
        occupancy_floor=floor,
        **options,  # type: ignore[arg-type]
    )
    assert torch.equal(loss, exact)
    actual = torch.autograd.grad(loss.sum(), (blank, label))
    is_kept = occupancy >= floor
    assert (
        0.05 * is_kept.numel() < is_kept.sum() < 0.95 * int((lengths[0] * (lengths[1] + 1)).sum())
    )
    assert torch.equal(actual[0], of_blank.where(is_kept, torch.tensor(0.0)))
    assert torch.equal(actual[1], of_label.where(is_kept[:, :, :-1], torch.tensor(0.0)))


def test_floor_counts_alignments_whatever_the_weight_of_the_utterance() -> None:
    blank, label = random_lattice(1, 9, 4)
    lengths = torch.tensor([9]), torch.tensor([4])
    gradients = []
    for weight in (1.0, -1e-9):
        loss = transducer_lattice_loss(blank, label, *lengths, occupancy_floor=0.2)
        gradients.append(torch.autograd.grad(weight * loss.sum(), label)[0] / weight)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("floor", [-0.1, 1.0, 2.0, math.nan])
def test_wrong_floors_are_refused(floor: float) -> None:
    blank, label = random_lattice(1, 3, 2)
    with pytest.raises(ValueError, match=r"occupancy_floor must be in \[0, 1\), got"):
        transducer_lattice_loss(
            blank, label, torch.tensor([3]), torch.tensor([2]), occupancy_floor=floor
        )


def test_strides_and_integer_types_make_no_difference() -> None:
    blank, label = random_lattice(3, 6, 4)
    frames, labels = [6, 2, 5], [4, 1, 0]
    expected = transducer_lattice_loss(blank, label, torch.tensor(frames), torch.tensor(labels))
    gradients = torch.autograd.grad(expected.sum(), (blank, label))
    views = [
        x.detach().permute(2, 1, 0).contiguous().permute(2, 1, 0).requires_grad_()
        for x in (blank, label)
    ]
    lengths = torch.tensor(frames, dtype=torch.uint8), torch.tensor(labels, dtype=torch.int16)
    loss = transducer_lattice_loss(views[0], views[1], *lengths)
    assert torch.equal(loss, expected)
    for one, other in zip(torch.autograd.grad(loss.sum(), views), gradients, strict=True):
        assert torch.equal(one, other)


def test_backward_again_gives_the_same_and_changes_no_input() -> None:
    blank, label = random_lattice(2, 6, 4)
    copies = blank.detach().clone(), label.detach().clone()
    lengths = torch.tensor([6, 4]), torch.tensor([4, 2])
    loss = transducer_lattice_loss(blank, label, *lengths, occupancy_floor=1e-3)
    weights = torch.tensor([-2.0, 0.0], dtype=torch.float64)
    first = torch.autograd.grad(loss, (blank, label), weights, retain_graph=True)
    second = torch.autograd.grad(loss, (blank, label), weights)
    for one, other in zip((*first, *copies), (*second, blank, label), strict=True):
        assert torch.equal(one, other)
    assert not first[0][1].any() and first[0][0].sum().item() == pytest.approx(12)


def test_arcs_of_1e30_nats_choose_the_best_alignment() -> None:
    blank = torch.full((1, 3, 2), -1e30, dtype=torch.float64, requires_grad=True)
    label = torch.full((1, 3, 1), -1e30, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        blank[0, 0, 0] = -1.0  # first frame: blank; second frame: the label
        label[0, 1, 0] = -2.0
        blank[0, 1:, 1] = -3.0
    loss = transducer_lattice_loss(blank, label, torch.tensor([3]), torch.tensor([1]))
    assert loss.item() == pytest.approx(9.0)
    loss.sum().backward()
    assert blank.grad is not None and label.grad is not None
    assert blank.grad[0].tolist() == [[-1.0, 0.0], [0.0, -1.0], [0.0, -1.0]]
    assert label.grad[0].tolist() == [[0.0], [-1.0], [0.0]]
