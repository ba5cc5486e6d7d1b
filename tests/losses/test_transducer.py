"""The loss from logits and from a joiner against torchaudio and each other."""

from __future__ import annotations

import inspect

import pytest
import torch
import torchaudio
from hyperpyyaml import load_hyperpyyaml
from speechbrain.nnet import losses as speechbrain_losses
from torch import Tensor

from sb_alexa.losses.transducer import (
    transducer_lattice_loss,
    transducer_loss,
    transducer_loss_from_logits,
)
from sb_alexa.transducer.joiner import Joiner

NUM_FRAMES, NUM_LABELS = torch.tensor([12, 1, 5, 9]), torch.tensor([7, 3, 0, 7])
VOCABULARY = 9


def ready_logits(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    logits = torch.randn(4, 12, 8, VOCABULARY).to(dtype).requires_grad_()
    return logits, torch.randint(1, VOCABULARY, (4, 7))


class Model:
    """A joiner and its two inputs, B 4, T 12, U 7."""

    def __init__(self, dtype: torch.dtype = torch.float64, joint_size: int | None = None) -> None:
        self.joiner = Joiner(
            encoder_size=6, predictor_size=6, num_labels=VOCABULARY, joint_size=joint_size
        ).to(dtype)
        self.encoder_out = torch.randn(4, 12, 6, dtype=dtype, requires_grad=True)
        self.predictor_out = torch.randn(4, 8, 6, dtype=dtype, requires_grad=True)
        self.targets = torch.randint(1, VOCABULARY, (4, 7))
        self.inputs = [self.encoder_out, self.predictor_out, *self.joiner.parameters()]

    def loss(self, **options: object) -> Tensor:
        lengths = {"num_frames": NUM_FRAMES, "num_labels": NUM_LABELS}
        return transducer_loss(
            self.encoder_out,
            self.predictor_out,
            self.joiner,
            self.targets,
            **{**lengths, **options},  # type: ignore[arg-type]
        )

    def loss_from_logits(self, **options: object) -> Tensor:
        frames = self.joiner.project_encoder(self.encoder_out)[:, :, None]
        logits = self.joiner(frames, self.joiner.project_predictor(self.predictor_out)[:, None])
        lengths = NUM_FRAMES / 12, NUM_LABELS / 7
        return transducer_loss_from_logits(
            logits,
            self.targets,
            *lengths,
            0,
            **options,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("blank_index", [0, VOCABULARY - 1])
def test_values_and_gradients_of_torchaudio(blank_index: int) -> None:
    logits, targets = ready_logits()
    targets = targets - 1 if blank_index else targets
    lengths = NUM_FRAMES / 12, NUM_LABELS / 7
    ours = transducer_loss_from_logits(logits, targets, *lengths, blank_index, reduction="none")
    theirs = torchaudio.functional.rnnt_loss(
        logits,
        targets.int(),
        NUM_FRAMES.int(),
        NUM_LABELS.int(),
        blank=blank_index,
        reduction="none",
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-5)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (our_gradient,) = torch.autograd.grad(ours @ weights, logits)
    (their_gradient,) = torch.autograd.grad(theirs @ weights, logits)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=0, atol=1e-4)


def test_gradcheck_of_ready_logits() -> None:
    logits = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[2, 3], [1, 0]])
    lens = torch.tensor([1.0, 2 / 3]), torch.tensor([1.0, 0.5])

    def loss(logits: Tensor) -> Tensor:
        return transducer_loss_from_logits(logits, targets, *lens, 0, "none")

    assert torch.autograd.gradcheck(loss, (logits,), fast_mode=True)


@pytest.mark.parametrize("joint_size", [None, 5])
def test_joined_slices_equal_ready_logits(joint_size: int | None) -> None:
    model = Model(joint_size=joint_size)
    options = {
        "fastemit_lambda": 0.1,
        "label_penalty": -torch.rand(4, 12, 7, dtype=torch.float64),
        "reduction": "sum",
    }
    expected = model.loss_from_logits(**options)
    gradients = torch.autograd.grad(expected, model.inputs)
    for budget_mib in (None, 0.01, 1e-6):
        loss = model.loss(**options, memory_budget_mib=budget_mib)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
        for actual, wanted in zip(torch.autograd.grad(loss, model.inputs), gradients, strict=True):
            torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-10)


def test_gradcheck_through_the_joiner() -> None:
    model = Model(joint_size=3)

    def loss(*inputs: Tensor) -> Tensor:
        return model.loss(reduction="none")

    assert torch.autograd.gradcheck(loss, tuple(model.inputs), fast_mode=True)


def test_padded_cells_are_not_joined() -> None:
    model = Model()
    joined = []

    class Counting(Joiner):
        def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
            logits = super().forward(encoder_part, predictor_part)
            joined.append(logits.numel() // VOCABULARY)
            return logits

    model.joiner = Counting(encoder_size=6, predictor_size=6, num_labels=VOCABULARY).double()
    model.loss()
    assert sum(joined) == int((NUM_FRAMES * (NUM_LABELS + 1)).sum())


def test_reductions_and_their_gradients() -> None:
    model = Model()
    each = model.loss(reduction="none")
    assert each.shape == (4,) and each.dtype == torch.float64
    expected = {
        "sum": each.sum(),
        "mean": each.sum() / 4,
        "batchmean": each.sum() / 4,
        "token_mean": each.sum() / 17,
    }
    (of_sum,) = torch.autograd.grad(each.sum(), model.encoder_out)
    for reduction, value in expected.items():
        loss = model.loss(reduction=reduction)
        torch.testing.assert_close(loss, value, rtol=1e-12, atol=0)
        (gradient,) = torch.autograd.grad(loss, model.encoder_out)
        scale = (value / each.sum()).detach()
        torch.testing.assert_close(gradient, of_sum * scale, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(model.loss(), expected["mean"])
    with pytest.raises(ValueError, match="unknown reduction 'batch_mean', expected one of none"):
        model.loss(reduction="batch_mean")


def test_padding_has_no_influence() -> None:
    logits, targets = ready_logits()
    lengths = NUM_FRAMES / 12, NUM_LABELS / 7
    loss = transducer_loss_from_logits(logits, targets, *lengths, 0, "none")
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    with torch.no_grad():
        for item, (t, u) in enumerate(zip(NUM_FRAMES, NUM_LABELS, strict=True)):
            logits[item, t:] = torch.nan
            logits[item, :, u + 1 :] = torch.nan
            targets[item, u:] = -100
    again = transducer_loss_from_logits(logits, targets, *lengths, 0, "none")
    assert torch.equal(again, loss)
    (padded_gradient,) = torch.autograd.grad(again.sum(), logits)
    assert torch.equal(padded_gradient, gradient)


def test_nan_logits_give_a_nan_loss() -> None:
    logits, targets = ready_logits()
    with torch.no_grad():
        logits[2, 0, 0, 4] = torch.nan
    loss = transducer_loss_from_logits(logits, targets, NUM_FRAMES / 12, NUM_LABELS / 7, 0, "none")
    assert loss.isnan().tolist() == [False, False, True, False]


def test_forbidden_outputs_are_fine() -> None:
    logits, targets = ready_logits()
    masked = torch.zeros_like(logits)
    masked[..., 1] = -torch.inf  # an output no target uses
    masked[3, :, 2, 0] = -torch.inf  # no blank after two labels of the last item
    targets = targets.clamp(min=2)
    loss = transducer_loss_from_logits(
        logits + masked, targets, NUM_FRAMES / 12, NUM_LABELS / 7, 0, "none"
    )
    assert loss.isfinite().all()
    loss.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert not logits.grad[..., 1].any()


def test_bfloat16_joiner_under_autocast_keeps_the_lattice_exact() -> None:
    model = Model(torch.float32, joint_size=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(reduction="none")
        loss.sum().backward()
        frames = model.joiner.project_encoder(model.encoder_out)[:, :, None]
        logits = model.joiner(frames, model.joiner.project_predictor(model.predictor_out)[:, None])
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32
    log_probs = logits.double().log_softmax(-1)
    index = model.targets[:, None, :, None].expand(4, 12, 7, 1)
    exact = transducer_lattice_loss(
        log_probs[..., 0], log_probs[:, :, :7].gather(-1, index)[..., 0], NUM_FRAMES, NUM_LABELS
    )
    # The joiner rounds the same numbers in another order; the lattice adds nothing to that.
    torch.testing.assert_close(loss, exact.float(), rtol=2e-3, atol=0)
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in model.inputs)


def test_ready_bfloat16_logits() -> None:
    logits, targets = ready_logits(torch.bfloat16)
    lengths = NUM_FRAMES / 12, NUM_LABELS / 7
    loss = transducer_loss_from_logits(logits, targets, *lengths, 0)
    exact = transducer_loss_from_logits(logits.double(), targets, *lengths, 0)
    torch.testing.assert_close(loss, exact.float(), rtol=1e-6, atol=0)
    loss.backward()
    assert logits.grad is not None and logits.grad.dtype == torch.bfloat16


def test_utterance_without_labels() -> None:
    logits = torch.zeros(2, 3, 1, 4)
    targets = torch.zeros(2, 0, dtype=torch.long)
    loss = transducer_loss_from_logits(
        logits, targets, torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.0]), 0, "token_mean"
    )
    assert loss.item() == pytest.approx(6 * torch.tensor(4.0).log().item())


def test_validation_without_gradients_is_the_same_value() -> None:
    model = Model()
    with torch.no_grad():
        value = model.loss()
    assert not value.requires_grad
    torch.testing.assert_close(value, model.loss().detach(), rtol=0, atol=0)


def test_arguments_are_those_of_speechbrain() -> None:
    theirs = inspect.signature(speechbrain_losses.transducer_loss).parameters
    ours = list(inspect.signature(transducer_loss_from_logits).parameters.values())
    assert [p.name for p in ours[: len(theirs)]] == list(theirs)
    assert [p.default for p in ours[: len(theirs)]] == [p.default for p in theirs.values()]


def test_drops_into_a_recipe_by_name() -> None:
    hparams = load_hyperpyyaml("""
    transducer_cost: !name:sb_alexa.losses.transducer.transducer_loss_from_logits
        blank_index: 0
        fastemit_lambda: 0.01
        reduction: none
    """)
    logits, targets = ready_logits()
    wav_lens, token_lens = NUM_FRAMES / 12, NUM_LABELS / 7
    loss = hparams["transducer_cost"](logits, targets, wav_lens, token_lens)
    expected = transducer_loss_from_logits(
        logits=logits,
        targets=targets,
        input_lens=wav_lens,
        target_lens=token_lens,
        blank_index=0,
        reduction="none",
    )
    assert loss.shape == (4,) and torch.equal(loss, expected)


@pytest.mark.parametrize("floor", [0.0, 1e-2])
@pytest.mark.parametrize("path", ["joint", "generic", "logits"])
def test_backward_may_run_again(path: str, floor: float) -> None:
    model = Model(joint_size=3)
    if path == "generic":
        model.joiner.activation.register_forward_hook(lambda *_: None)
    if path == "logits":
        loss = model.loss_from_logits(fastemit_lambda=0.1)
    else:
        loss = model.loss(fastemit_lambda=0.1, occupancy_floor=floor)
    copies = [x.detach().clone() for x in model.inputs]
    first = torch.autograd.grad(loss, model.inputs, retain_graph=True)
    model.loss(reduction="sum").backward()  # others use the joiner in between
    second = torch.autograd.grad(loss, model.inputs)
    for one, other in zip((*first, *model.inputs), (*second, *copies), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("path", ["loss", "loss_from_logits"])
def test_every_utterance_has_its_own_weight(path: str) -> None:
    model = Model()
    each = getattr(model, path)(reduction="none")
    weights = torch.tensor([2.0, 0.0, -1.0, 1e-3], dtype=torch.float64)
    rows = [torch.autograd.grad(each[item], model.inputs, retain_graph=True) for item in range(4)]
    weighted = torch.autograd.grad(each @ weights, model.inputs)
    for of_weighted, of_rows in zip(weighted, zip(*rows, strict=True), strict=True):
        expected = sum(w * row for w, row in zip(weights, of_rows, strict=True))
        torch.testing.assert_close(of_weighted, expected, rtol=0, atol=1e-12)
    assert not weighted[0][1].any() and not weighted[1][1].any()


@pytest.mark.parametrize("needed", range(6))
def test_gradients_of_some_inputs_only(needed: int) -> None:
    model = Model(joint_size=3)
    (expected,) = torch.autograd.grad(model.loss(), model.inputs[needed])
    for index, x in enumerate(model.inputs):
        x.requires_grad_(index == needed)
    loss = model.loss()
    loss.backward()
    for index, x in enumerate(model.inputs):
        assert (x.grad is not None) == (index == needed)
    torch.testing.assert_close(model.inputs[needed].grad, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8])
def test_lengths_of_any_integer_type(dtype: torch.dtype) -> None:
    model = Model()
    loss = model.loss(num_frames=NUM_FRAMES.to(dtype), num_labels=NUM_LABELS.to(dtype))
    assert torch.equal(loss, model.loss())


def test_an_empty_batch_has_no_losses() -> None:
    empty = torch.zeros(0, dtype=torch.long)
    loss = transducer_loss(
        torch.zeros(0, 3, 6, requires_grad=True),
        torch.zeros(0, 3, 6),
        Model(torch.float32).joiner,
        torch.zeros(0, 2, dtype=torch.long),
        num_frames=empty,
        num_labels=empty,
        reduction="none",
    )
    assert loss.shape == (0,)


def test_impossible_utterance_among_others() -> None:
    model = Model()
    with torch.no_grad():
        model.targets[:] = 2
        model.targets[3, 4] = 5
        model.joiner.output.bias[5] = -torch.inf
    loss = model.loss(reduction="none")
    assert loss.isinf().tolist() == [False, False, False, True] and loss[3] > 0
    gradients = torch.autograd.grad(loss.sum(), model.inputs)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[0][3].any() and gradients[0][0].any()


def test_float64_stays_float64_under_autocast() -> None:
    model = Model(joint_size=3)
    expected = model.loss()
    gradients = torch.autograd.grad(expected, model.inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss()
    torch.testing.assert_close(loss, expected, rtol=1e-14, atol=0)
    for one, other in zip(torch.autograd.grad(loss, model.inputs), gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)
