"""Arcs of ready logits, slice by slice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sb_alexa.losses import ready_logits
from sb_alexa.losses.ready_logits import logits_arc_log_probs

FRAMES, LABELS, V = [6, 1, 4], [3, 2, 0], 5


def draw(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    logits = torch.randn(3, 6, 4, V, dtype=torch.float64).to(dtype)
    return logits.requires_grad_(), torch.randint(1, V, (3, 3))


def arcs(logits: Tensor, targets: Tensor, blank_index: int = 0) -> tuple[Tensor, Tensor]:
    return logits_arc_log_probs(
        logits, targets, num_frames=FRAMES, num_labels=LABELS, blank_index=blank_index
    )


def dense(logits: Tensor, targets: Tensor, blank_index: int = 0) -> tuple[Tensor, Tensor]:
    """By log_softmax of all logits; zeros in the padding, -inf where an item has no more labels."""
    log_probs = logits.double().log_softmax(-1)
    t, u = torch.arange(6)[:, None], torch.arange(4)
    frames, labels = torch.tensor(FRAMES)[:, None, None], torch.tensor(LABELS)[:, None, None]
    index = targets.clamp(min=0)[:, None, :, None].expand(3, 6, 3, 1)
    label = log_probs[:, :, :3].gather(-1, index)[..., 0]
    label = torch.where((t < frames) & (u == labels), -torch.inf, 0.0)[..., :3] + label
    is_cell = (t < frames) & (u <= labels)
    blank = log_probs[..., blank_index].where(is_cell, torch.tensor(0.0))
    return blank, label.where(is_cell[..., :3], torch.tensor(0.0))


@pytest.mark.parametrize("slice_bytes", [1 << 20, 400, 1])
@pytest.mark.parametrize("blank_index", [0, 4])
def test_values_and_gradients_of_log_softmax(
    monkeypatch: pytest.MonkeyPatch, slice_bytes: int, blank_index: int
) -> None:
    monkeypatch.setattr(ready_logits, "_SLICE_BYTES_CPU", slice_bytes)
    logits, targets = draw()
    if blank_index:
        targets = targets - 1
    ours = arcs(logits, targets, blank_index)
    expected = dense(logits, targets, blank_index)
    torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)
    # As from a lattice: nothing comes from the padding or from arcs that do not exist.
    weights = [
        torch.randn(x.shape, dtype=x.dtype).masked_fill((x == 0) | (x == -torch.inf), 0)
        for x in expected
    ]
    (actual,) = torch.autograd.grad(ours, logits, weights)
    (wanted,) = torch.autograd.grad(expected, logits, weights)
    torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-14)


def test_gradients_of_both_signs_in_one_cell() -> None:
    logits, targets = draw()
    ours, expected = arcs(logits, targets), dense(logits, targets)
    signs = torch.ones_like(ours[0])
    signs[:, ::2] = -1
    weights = [signs * (expected[0] != 0), torch.zeros_like(ours[1])]
    weights[1][0, :, 0] = torch.tensor([1.0, -1.0, 0.5, 3.0, -0.2, 1.0])  # some cancel the blank's
    (actual,) = torch.autograd.grad(ours, logits, weights)
    (wanted,) = torch.autograd.grad(expected, logits, weights)
    torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("layout", ["transposed", "sliced", "expanded"])
def test_any_strides(layout: str) -> None:
    _, targets = draw()
    logits = {
        "transposed": torch.randn(V, 4, 6, 3).permute(3, 2, 1, 0),
        "sliced": torch.randn(3, 12, 4, 2 * V)[:, ::2, :, 1::2],
        "expanded": torch.randn(1, 6, 1, V).expand(3, 6, 4, V),
    }[layout].requires_grad_()
    assert not logits.is_contiguous()
    straight = logits.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    weights = torch.rand(3, 6, 4, dtype=torch.float64), torch.rand(3, 6, 3, dtype=torch.float64)
    results = []
    for x in (logits, straight):
        ours = arcs(x, targets)
        results.append((*[y.detach() for y in ours], *torch.autograd.grad(ours, x, weights)))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6)


def test_padding_may_hold_anything() -> None:
    logits, targets = draw()
    clean = arcs(logits, targets)
    weights = [torch.ones_like(x) for x in clean]
    (gradient,) = torch.autograd.grad([x.clamp(min=-100) for x in clean], logits, weights)
    with torch.no_grad():
        for item, (t, u) in enumerate(zip(FRAMES, LABELS, strict=True)):
            logits[item, t:], logits[item, :, u + 1 :] = torch.nan, torch.inf
            targets[item, u:] = -(2**62)
    spoiled = arcs(logits, targets)
    torch.testing.assert_close(spoiled, clean, rtol=0, atol=0)
    (again,) = torch.autograd.grad([x.clamp(min=-100) for x in spoiled], logits, weights)
    assert torch.equal(again, gradient)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_cell_without_any_output_has_no_arcs(dtype: torch.dtype) -> None:
    logits, targets = draw(dtype)
    with torch.no_grad():
        logits[0, 2, 1] = -torch.inf
    blank, label = arcs(logits, targets)
    assert blank[0, 2, 1] == label[0, 2, 1] == -torch.inf
    assert int((blank == -torch.inf).sum()) == 1 and not blank.isnan().any()
    weights = torch.ones_like(blank), torch.zeros_like(label)
    weights[0][0, 2, 1] = 0  # no alignment comes here
    (gradient,) = torch.autograd.grad((blank, label), logits, weights)
    assert gradient.isfinite().all() and not gradient[0, 2, 1].any()
    assert gradient[0, 2, 0].any()


def test_second_backward_pass_is_the_first_and_inputs_stay() -> None:
    logits, targets = draw()
    copy = logits.detach().clone()
    blank, label = arcs(logits, targets)
    weights = torch.randn_like(blank), torch.randn_like(label)
    (first,) = torch.autograd.grad((blank, label), logits, weights, retain_graph=True)
    (second,) = torch.autograd.grad((blank, label), logits, weights)
    assert torch.equal(first, second) and torch.equal(logits, copy)
