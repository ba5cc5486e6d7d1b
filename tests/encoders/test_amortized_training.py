"""Gates between 0 and 1: they end as hard ones, and every arbitrator learns from all of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sb_alexa.encoders.amortized import TOGGLES, AmortizedTransformerEncoder
from sb_alexa.encoders.amortized_reference import masked_forward
from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
from sb_alexa.nn.gate_relaxation import GateRelaxation
from tests.encoders.tiny_transformers import (
    GROUPS,
    KINDS,
    NHEAD,
    RARE,
    USUAL,
    amortized,
    assert_close,
    features,
)

SOFT = GateRelaxation(temperature=1.0, noise_scale=0.0)
HARD = GateRelaxation(temperature=1e-9, noise_scale=0.0)
FINAL = GateRelaxation(temperature=1e-5, noise_scale=1.0)
STRAIGHT = GateRelaxation(straight_through=True)
# Columns of the logits of a block.
COLUMNS = {
    "feed_forward": slice(0, 1),
    "query": slice(1, 1 + NHEAD),
    "key": slice(1 + NHEAD, 1 + 2 * NHEAD),
}


def arbitrator_of(encoder: AmortizedTransformerEncoder) -> FeedForwardArbitrator:
    """The only one."""
    arbitrator = encoder.arbitrators[0]
    assert isinstance(arbitrator, FeedForwardArbitrator)
    return arbitrator


def toggle_bias(encoder: AmortizedTransformerEncoder) -> Tensor:
    """(N, 1 + 2 H)."""
    return arbitrator_of(encoder).toggles.bias.detach().view(-1, 1 + 2 * NHEAD)


def toggle_bias_gradient(encoder: AmortizedTransformerEncoder) -> Tensor:
    gradient = arbitrator_of(encoder).toggles.bias.grad
    assert gradient is not None
    return gradient.view(-1, 1 + 2 * NHEAD)


@pytest.mark.parametrize("rates", [USUAL, RARE], ids=["usual", "rare"])
@pytest.mark.parametrize("toggles", TOGGLES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
@pytest.mark.parametrize("relaxation", [HARD, STRAIGHT], ids=["cold", "straight"])
@pytest.mark.parametrize("groups", GROUPS)
def test_saturated_gates_are_hard_gates(
    groups: int,
    relaxation: GateRelaxation,
    dual: bool,
    kind: str,
    toggles: str,
    rates: tuple[float, float, float],
) -> None:
    for left_context_frames in (None, 4):
        encoder = amortized(
            kind,
            dual=dual,
            toggles=toggles,
            rates=rates,
            left_context_frames=left_context_frames,
            groups=groups,
        )
        x = features(2, 20)
        with torch.no_grad():
            y, gates = encoder.forward_relaxed(x, None, relaxation)
            hard, decided = encoder.forward_with_gates(x)
            assert_close(gates.key, decided.key.double())
            assert_close(gates.query, decided.query.double())
            assert_close(gates.feed_forward, decided.feed_forward.double())
            assert_close(y, hard)
            assert_close(y, masked_forward(encoder, x, decided))


def test_open_gates_are_the_dense_encoder() -> None:
    encoder, x = amortized(), features(2, 20)
    toggle_bias(encoder).fill_(60.0)
    with torch.no_grad():
        y, _ = encoder.forward_relaxed(x, None, SOFT)
        encoder.threshold = 0.0
        assert_close(y, encoder(x))


def test_soft_gates_are_the_keep_probabilities() -> None:
    encoder, x = amortized(toggles="query"), features(2, 9)
    with torch.no_grad():
        _, gates = encoder.forward_relaxed(x, None, SOFT)
        expected = encoder.arbitrators[0](encoder.embedding(x)).sigmoid()
    assert_close(gates.feed_forward, expected[..., :1])
    assert_close(gates.query, expected[..., 1 : 1 + NHEAD])
    assert torch.equal(gates.key, torch.ones_like(gates.key))


@pytest.mark.parametrize("kind", ["feed_forward", "recurrent"])
def test_padding_reaches_nothing(kind: str) -> None:
    encoder, x = amortized(kind, dual=True), features(2, 20)
    loud = x.clone()
    loud[1, 8:] = torch.nan
    y, _ = encoder.forward_relaxed(loud, torch.tensor([20, 8]), SOFT)
    assert_close(y[1, :8], encoder.forward_relaxed(x[1:, :8], None, SOFT)[0][0])
    assert not y[1, 8:].any()


@pytest.mark.parametrize("relaxation", [SOFT, STRAIGHT], ids=["soft", "straight"])
@pytest.mark.parametrize("column", COLUMNS)
def test_every_kind_of_toggle_teaches_the_arbitrator(
    column: str, relaxation: GateRelaxation
) -> None:
    """With the other kinds held wide open, what is learnt below comes from this one."""
    encoder = amortized()
    arbitrator = arbitrator_of(encoder)
    with torch.no_grad():
        weight = arbitrator.toggles.weight.view(-1, 1 + 2 * NHEAD, 8)
        for other, columns in COLUMNS.items():
            if other != column:
                weight[:, columns] = 0.0
                toggle_bias(encoder)[:, columns] = 60.0
    y, _ = encoder.forward_relaxed(features(2, 12), None, relaxation)
    y.square().mean().backward()
    gradient = toggle_bias_gradient(encoder)
    assert (gradient[:, COLUMNS[column]].abs() > 1e-6).all()
    below = arbitrator.hidden.weight.grad
    assert below is not None and bool((below.abs() > 1e-6).any())
    for other, columns in COLUMNS.items():
        if other != column:
            assert (gradient[:, columns].abs() < 1e-12).all()


@pytest.mark.parametrize("toggles", TOGGLES)
def test_the_kind_left_out_teaches_nothing(toggles: str) -> None:
    encoder = amortized(toggles=toggles)
    y, _ = encoder.forward_relaxed(features(2, 12), None, SOFT)
    y.square().mean().backward()
    gradient = toggle_bias_gradient(encoder)
    for name in ("query", "key"):
        assert bool(gradient[:, COLUMNS[name]].any()) == (name in toggles)
    assert gradient[:, 0].all()


@pytest.mark.parametrize("groups", GROUPS)
def test_gradients_are_those_of_finite_differences(groups: int) -> None:
    encoder = amortized("feed_forward", dual=True, left_context_frames=2, groups=groups)
    x = features(1, 5).requires_grad_()
    names = [name for name, _ in encoder.named_parameters() if name.endswith("toggles.bias")]
    biases = [dict(encoder.named_parameters())[name].detach().requires_grad_() for name in names]

    def relaxed(x: Tensor, *biases: Tensor) -> Tensor:
        class Relaxed(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = encoder

            def forward(self, x: Tensor) -> Tensor:
                return self.encoder.forward_relaxed(x, None, SOFT)[0]

        given = {f"encoder.{name}": bias for name, bias in zip(names, biases, strict=True)}
        return torch.func.functional_call(Relaxed(), given, (x,))

    assert torch.autograd.gradcheck(relaxed, (x, *biases), fast_mode=True)


@pytest.mark.parametrize("left_context_frames", [None, 5])
@pytest.mark.parametrize("bias", [-30.0, 0.0, 30.0])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("relaxation", [FINAL, STRAIGHT], ids=["samples", "straight"])
def test_hard_gates_have_finite_values_and_gradients(
    relaxation: GateRelaxation,
    precision: torch.dtype,
    bias: float,
    left_context_frames: int | None,
) -> None:
    """At the end of training; at a bias of -30 all gates of all frames are off."""
    encoder = amortized(left_context_frames=left_context_frames).float().train()
    toggle_bias(encoder).fill_(bias)
    x = features(2, 30).float().requires_grad_()
    autocast = torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32)
    with autocast:
        y, gates = encoder.forward_relaxed(x, torch.tensor([30, 11]), relaxation)
    loss = y.float().square().mean() + gates.key.mean() + gates.query.mean()
    loss.backward()
    assert bool(y.isfinite().all())
    assert gates.key.dtype == torch.float32
    if bias:
        assert bool((gates.key == (bias > 0)).all())
    for name, tensor in (("x", x), *encoder.named_parameters()):
        if tensor.grad is not None:
            assert bool(tensor.grad.isfinite().all()), name


def test_rows_without_any_visible_key_pass_by() -> None:
    """Keys all off and queries all on: the heads bring zeros, and no frame hears another."""
    encoder, x = amortized(left_context_frames=None), features(1, 9)
    toggle_bias(encoder)[:, COLUMNS["key"]] = -1e6
    toggle_bias(encoder)[:, COLUMNS["query"]] = 1e6
    other = x.clone()
    other[:, 3] += 1.0
    with torch.no_grad():
        before, after = (encoder.forward_relaxed(given, None, SOFT)[0] for given in (x, other))
    changed = (before - after).abs().amax(dim=-1)[0] > 1e-10
    assert changed.nonzero().flatten().tolist() == [3]


def test_frames_that_decide_together_share_their_noise() -> None:
    encoder = amortized(toggle_every_frames=5)
    first = torch.arange(23) - torch.arange(23) % 5
    with torch.no_grad():
        _, gates = encoder.forward_relaxed(features(2, 23), None, GateRelaxation(0.5, 1.0))
    for gate in (gates.feed_forward, gates.query, gates.key):
        assert torch.equal(gate, gate[:, first])
        assert not torch.equal(gate[:, 0], gate[:, 5])


def test_noise_is_drawn_for_each_gate_and_each_pass() -> None:
    encoder, x = amortized(), features(2, 9)
    noisy = GateRelaxation(1.0, 1.0)
    with torch.no_grad():
        quiet = [encoder.forward_relaxed(x, None, SOFT)[1].key for _ in range(2)]
        loud = [encoder.forward_relaxed(x, None, noisy)[1].key for _ in range(2)]
    assert torch.equal(quiet[0], quiet[1])
    assert not torch.isclose(loud[0], loud[1]).any()
