"""The pruned loss against the exact one, on all cells and on those in the windows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from torch import Tensor, nn

from sb_alexa.losses.joined_arcs import joined_arc_log_probs
from sb_alexa.losses.pruned_transducer import PrunedTransducerLoss
from sb_alexa.losses.pruning_windows import pruning_windows, window_cells
from sb_alexa.losses.transducer import transducer_lattice_loss, transducer_loss
from sb_alexa.transducer.joiner import Joiner
from tests.losses.test_sum_arcs import explicit_arcs

NUM_FRAMES, NUM_LABELS = torch.tensor([12, 1, 5, 9, 2]), torch.tensor([7, 3, 0, 7, 6])
BATCH, FRAMES, LABELS, VOCABULARY = 5, 12, 7, 9
LENGTHS = {"num_frames": NUM_FRAMES, "num_labels": NUM_LABELS}


class Model:
    """A joiner, a pruned loss and their inputs; lengths include T = 1, U = 0 and U > T."""

    def __init__(self, dtype: torch.dtype = torch.float64, **options: Any) -> None:
        self.joiner: Any = Joiner(
            encoder_size=6, predictor_size=5, num_labels=VOCABULARY, joint_size=4
        ).to(dtype)
        self.loss = PrunedTransducerLoss(
            encoder_size=6, predictor_size=5, num_labels=VOCABULARY, **options
        ).to(dtype)
        self.encoder_out = torch.randn(BATCH, FRAMES, 6, dtype=dtype, requires_grad=True)
        self.predictor_out = torch.randn(BATCH, LABELS + 1, 5, dtype=dtype, requires_grad=True)
        self.targets = torch.randint(1, VOCABULARY, (BATCH, LABELS))
        self.shared = [self.encoder_out, self.predictor_out, *self.joiner.parameters()]

    @property
    def batch(self) -> tuple[Any, ...]:
        return self.encoder_out, self.predictor_out, self.joiner, self.targets

    def passes(self, **options: Any) -> tuple[Tensor, Tensor]:
        return self.loss.passes(*self.batch, **{**LENGTHS, **options})

    def __call__(self, **options: Any) -> Tensor:
        return self.loss(*self.batch, **{**LENGTHS, **options})

    def exact(self, **options: Any) -> Tensor:
        return transducer_loss(*self.batch, **{**LENGTHS, **options})

    def explicit_simple(self, **options: Any) -> Tensor:
        """The first pass through the logits of all cells."""
        frames, histories = (
            self.loss.frame_output(self.encoder_out),
            self.loss.history_output(self.predictor_out),
        )
        arcs = explicit_arcs(frames, histories, self.targets)
        return transducer_lattice_loss(*arcs, **LENGTHS, **options)


def assert_gradients_agree(actual: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    gradients = [torch.autograd.grad(loss, inputs) for loss in (actual, expected)]
    for ours, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean", "token_mean"])
@pytest.mark.parametrize("options", [{}, {"fastemit_lambda": 0.2, "occupancy_floor": 1e-3}])
def test_full_windows_give_the_exact_loss(reduction: str, options: dict[str, float]) -> None:
    model = Model(pruning_range=LABELS + 1, simple_loss_scale=0.3, **options)
    penalty = -torch.rand(BATCH, FRAMES, LABELS, dtype=torch.float64)
    actual = model(reduction=reduction, label_penalty=penalty)
    exact = model.exact(reduction=reduction, label_penalty=penalty, **options)
    fastemit = options.get("fastemit_lambda", 0.0)
    simple = model.explicit_simple(label_penalty=penalty, fastemit_lambda=fastemit)
    weight = exact.sum() / model.exact(reduction="sum", label_penalty=penalty)
    if reduction != "none":
        simple = simple.sum() * weight.detach()
    expected = exact + 0.3 * simple
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=0)
    inputs = [*model.shared, *model.loss.parameters()]
    assert_gradients_agree(actual.sum(), expected.sum(), inputs)


@pytest.mark.parametrize("pruning_range", [2, 3, 5])
def test_pruned_is_the_exact_sum_over_the_cells_in_the_windows(pruning_range: int) -> None:
    model = Model(pruning_range=pruning_range)
    simple, pruned = model.passes()
    torch.testing.assert_close(simple, model.explicit_simple(), rtol=1e-12, atol=0)
    more = pruned - model.exact(reduction="none")
    assert (more > -1e-9).all() and (more > 1e-3).any()

    frames, histories = (
        model.loss.frame_output(model.encoder_out),
        model.loss.history_output(model.predictor_out),
    )
    arcs = [
        arcs.detach().requires_grad_() for arcs in explicit_arcs(frames, histories, model.targets)
    ]
    occupancies = torch.autograd.grad(-transducer_lattice_loss(*arcs, **LENGTHS).sum(), arcs)
    start, size = pruning_windows(*occupancies, *LENGTHS.values(), pruning_range)
    outside = ~window_cells(start, size, NUM_FRAMES, LABELS + 1)
    blank, label = joined_arc_log_probs(
        *model.batch,
        num_frames=NUM_FRAMES.tolist(),
        num_labels=NUM_LABELS.tolist(),
        blank_index=0,
        memory_budget_mib=None,
    )
    blank = blank.masked_fill(outside, -torch.inf)
    label = label.masked_fill(outside[:, :, :-1], -torch.inf)
    expected = transducer_lattice_loss(blank, label, **LENGTHS)
    torch.testing.assert_close(pruned, expected, rtol=1e-12, atol=0)
    assert_gradients_agree(pruned.sum(), expected.sum(), model.shared)


def test_fastemit_leaves_the_windows_where_they_are() -> None:
    model = Model(pruning_range=3)
    _, expected = model.passes()
    model.loss.fastemit_lambda = 4.0
    _, pruned = model.passes()
    torch.testing.assert_close(pruned, expected, rtol=1e-12, atol=0)


def test_gradcheck_where_the_windows_stay() -> None:
    model = Model(pruning_range=3)
    inputs = (*model.shared, *model.loss.parameters())

    def loss(*_: Tensor) -> Tensor:
        return model(reduction="none")

    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)


def test_a_peaky_model_loses_next_to_nothing() -> None:
    """One dominant alignment, the same in both joiners; windows of 3 of 8 histories hold it."""
    onsets, num_frames, num_labels = [3, 7, 8, 15, 15, 22, 28], 30, 7
    targets = torch.arange(1, num_labels + 1)[None]
    # A label beats the blank where frame and history agree on it, else the blank does.
    frames = torch.zeros(1, num_frames, VOCABULARY, dtype=torch.float64)
    frames[..., 0] = 18
    frames[0, onsets, targets[0]] = 12
    histories = torch.zeros(1, num_labels + 1, VOCABULARY, dtype=torch.float64)
    histories[0, torch.arange(num_labels), targets[0]] = 12
    joiner = Joiner(
        encoder_size=VOCABULARY,
        predictor_size=VOCABULARY,
        num_labels=VOCABULARY,
        activation=nn.Identity,
    ).double()
    loss = PrunedTransducerLoss(
        encoder_size=VOCABULARY, predictor_size=VOCABULARY, num_labels=VOCABULARY, pruning_range=3
    ).double()
    for linear in (joiner.output, loss.frame_output, loss.history_output):
        nn.init.eye_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    batch = frames, histories, joiner, targets
    lengths = {"num_frames": torch.tensor([num_frames]), "num_labels": torch.tensor([num_labels])}
    exact = transducer_loss(*batch, **lengths)
    simple, pruned = loss.passes(*batch, **lengths)
    torch.testing.assert_close(simple[0], exact, rtol=1e-12, atol=0)
    assert 0.01 < exact < 0.5
    # Three labels at frame 15, the third of them early, is all that three histories cannot hold.
    lost = torch.tensor([math.exp(-6)], dtype=torch.float64)
    torch.testing.assert_close((-exact).exp() - (-pruned).exp(), lost, rtol=0.1, atol=0)


class GatedJoiner(nn.Module):
    """Not additive: the sides are multiplied."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_labels = VOCABULARY
        self.encoder_projection, self.predictor_projection = nn.Linear(6, 4), nn.Linear(5, 4)
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(4, VOCABULARY)
        self.num_joined = 0

    def project_encoder(self, encoder_out: Tensor) -> Tensor:
        return self.encoder_projection(encoder_out)

    def project_predictor(self, predictor_out: Tensor) -> Tensor:
        return self.predictor_projection(predictor_out)

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        logits = self.output(self.dropout(encoder_part.tanh() * predictor_part.sigmoid()))
        self.num_joined += logits.numel() // VOCABULARY
        return logits


@pytest.mark.parametrize("budget_mib", [None, 1e-3])
def test_any_joiner_runs_on_the_cells_in_the_windows_only(budget_mib: float | None) -> None:
    model = Model(pruning_range=LABELS + 1, memory_budget_mib=budget_mib)
    model.joiner = GatedJoiner().double()
    inputs = [model.encoder_out, model.predictor_out, *model.joiner.parameters()]
    _, pruned = model.passes()
    exact = model.exact(reduction="none")
    torch.testing.assert_close(pruned, exact, rtol=1e-12, atol=0)
    assert_gradients_agree(pruned.sum(), exact.sum(), inputs)
    model.loss.pruning_range, model.joiner.num_joined = 3, 0
    _, pruned = model.passes()
    sizes = torch.tensor([3, 4, 1, 3, 4])
    assert model.joiner.num_joined == int((sizes * NUM_FRAMES).sum())
    assert (pruned > exact - 1e-9).all() and pruned.isfinite().all()


def test_dropout_in_a_joiner_is_the_same_in_both_directions() -> None:
    model = Model(pruning_range=3)
    model.joiner = GatedJoiner(dropout=0.5).double()
    inputs = (model.encoder_out, model.predictor_out, *model.joiner.parameters())

    def loss(*_: Tensor) -> Tensor:
        torch.manual_seed(7)
        return model.passes()[1]

    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)


def test_warmup_starts_with_the_first_pass_and_survives_a_checkpoint() -> None:
    model = Model(warmup_batches=2, simple_loss_scale=0.4)
    simple, pruned = model.passes()
    weighted = {
        "first": 1.0 * simple + 0.1 * pruned,
        "second": 0.7 * simple + 0.55 * pruned,
        "later": 0.4 * simple + 1.0 * pruned,
    }
    model.loss.eval()
    torch.testing.assert_close(model(reduction="none"), weighted["later"])
    model.loss.train()
    torch.testing.assert_close(model(reduction="none"), weighted["first"])
    resumed = Model(warmup_batches=2, simple_loss_scale=0.4)
    resumed.loss.load_state_dict(model.loss.state_dict())
    model.loss = resumed.loss
    torch.testing.assert_close(model(reduction="none"), weighted["second"])
    for _ in range(2):
        torch.testing.assert_close(model(reduction="none"), weighted["later"])


def test_validation_without_gradients_is_the_same_value() -> None:
    model = Model()
    with torch.no_grad():
        value = model()
    assert not value.requires_grad
    torch.testing.assert_close(value, model().detach(), rtol=0, atol=0)


def test_bfloat16_joiners_under_autocast() -> None:
    model = Model(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model()
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, model(), rtol=2e-2, atol=0)
    trained = [*model.shared, *model.loss.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def test_an_impossible_utterance_is_infinite_and_has_no_gradient() -> None:
    model = Model(pruning_range=2)
    with torch.no_grad():
        model.joiner.output.bias[0] = -torch.inf
    simple, pruned = model.passes()
    assert simple.isfinite().all() and (pruned == torch.inf).all()
    gradients = torch.autograd.grad(pruned.sum(), model.shared)
    assert not any(gradient.any() for gradient in gradients)


def test_training_moves_the_windows_to_the_labels() -> None:
    """A toy of one marked frame for each label: pruned training reaches the exact loss."""
    torch.manual_seed(1)
    onsets = torch.tensor([1, 4, 6, 9, 13, 14, 18])
    targets = torch.tensor([[3, 1, 4, 1, 5, 2, 6]])
    encoder_out = torch.zeros(1, 20, 6).double()
    encoder_out[0, onsets] = torch.randn(7, 6).double() * 2
    model = Model(pruning_range=3, warmup_batches=10)
    model.encoder_out, model.targets = encoder_out, targets
    model.predictor_out = torch.randn(1, 8, 5).double()
    lengths = {"num_frames": torch.tensor([20]), "num_labels": torch.tensor([7])}
    parameters = [*model.joiner.parameters(), *model.loss.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    before = model.exact(**lengths).item()
    for _ in range(100):
        optimizer.zero_grad()
        model(**lengths).backward()
        optimizer.step()
    _, pruned = model.passes(**lengths)
    exact = model.exact(**lengths)
    assert exact < 0.1 * before
    assert pruned[0] - exact < 0.05 * before


@pytest.mark.parametrize(
    "options,message",
    [
        ({"num_frames": torch.tensor([12, 0, 5, 9, 2])}, "num_frames of item 1 is 0"),
        ({"num_labels": torch.tensor([7, 3, 0, 8, 6])}, "num_labels of item 3 is 8"),
        ({"reduction": "batch_mean"}, "unknown reduction 'batch_mean'"),
        ({"label_penalty": torch.zeros(1)}, "label_penalty must have the shape"),
    ],
)
def test_wrong_inputs_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model()(**options)


def test_wrong_targets_shapes_and_joiners_are_named() -> None:
    model = Model()
    model.targets[0, 2] = 0
    with pytest.raises(ValueError, match="target 2 of item 0 is 0, expected a label in 0..8"):
        model()
    model.targets = model.targets[:, :6]
    with pytest.raises(ValueError, match=r"predictor_out \(B, U \+ 1, C\) and targets"):
        model()
    model.joiner = Joiner(encoder_size=6, predictor_size=5, num_labels=4, joint_size=4).double()
    with pytest.raises(ValueError, match="joiner has num_labels=4, the pruned loss 9"):
        model()


@pytest.mark.parametrize(
    "options,message",
    [
        ({"pruning_range": 1}, "pruning_range must be >= 2, got 1"),
        ({"simple_loss_scale": 0.0}, "simple_loss_scale must be > 0, got 0.0"),
        ({"warmup_batches": -1}, "warmup_batches must be >= 0, got -1"),
        ({"encoder_size": 0}, "encoder_size=0"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    sizes = {"encoder_size": 6, "predictor_size": 5, "num_labels": VOCABULARY}
    with pytest.raises(ValueError, match=message):
        PrunedTransducerLoss(**{**sizes, **options})


def test_a_yaml_file_swaps_it_for_the_exact_loss() -> None:
    text = """
    transducer_loss: !new:sb_alexa.losses.pruned_transducer.PrunedTransducerLoss
        encoder_size: 6
        predictor_size: 5
        num_labels: 9
        pruning_range: 8
        fastemit_lambda: 0.1
        occupancy_floor: 0.0
        memory_budget_mib: null
    modules:
        transducer_loss: !ref <transducer_loss>
    exact_loss: !name:sb_alexa.losses.transducer.transducer_loss
        fastemit_lambda: 0.1
        occupancy_floor: 0.0
        memory_budget_mib: null
    """
    hparams = load_hyperpyyaml(text)
    pruned_loss = hparams["modules"]["transducer_loss"]
    assert pruned_loss is hparams["transducer_loss"] and len(list(pruned_loss.parameters())) == 3
    model = Model(torch.float32)
    losses = [
        hparams[name](*model.batch, **LENGTHS, reduction="mean")
        for name in ("transducer_loss", "exact_loss")
    ]
    simple, _ = pruned_loss.passes(*model.batch, **LENGTHS)
    torch.testing.assert_close(losses[0], losses[1] + 0.5 * simple.mean())
