"""Both predictors: histories, steps, state and sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sb_alexa.streaming.state import named_tensors, where
from sb_alexa.transducer.lstm_predictor import LSTMPredictor
from sb_alexa.transducer.predictor import Predictor
from sb_alexa.transducer.stateless_predictor import StatelessPredictor

V = 11
BUILD: dict[str, Callable[[], Predictor]] = {
    "lstm": lambda: LSTMPredictor(num_labels=V, embedding_size=4, hidden_size=6, output_size=5),
    "lstm_deep": lambda: LSTMPredictor(
        num_labels=V,
        embedding_size=4,
        hidden_size=6,
        output_size=None,
        num_layers=2,
        layer_norm=True,
        blank_index=V - 1,
    ),
    "stateless": lambda: StatelessPredictor(num_labels=V, embedding_size=6, dropout=0.1),
    "stateless_grouped": lambda: StatelessPredictor(
        num_labels=V, embedding_size=6, context_size=3, output_size=4, groups=2
    ),
    "stateless_single": lambda: StatelessPredictor(num_labels=V, embedding_size=6, context_size=1),
}


@pytest.fixture(params=list(BUILD))
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return BUILD[request.param]().double().eval()


def test_histories_are_the_start_and_then_each_label(predictor: Predictor) -> None:
    targets = torch.randint(V, (3, 6))
    histories = predictor.all_histories(targets)
    assert histories.shape == (3, 7, predictor.output_size)
    first, state = predictor.start(3)
    outputs = [first]
    for u in range(6):  # steps take another path through the LSTM than whole sequences
        after, state = predictor.forward_chunk(targets[:, u : u + 1], state)
        outputs.append(after)
    torch.testing.assert_close(torch.cat(outputs, 1), histories, rtol=0, atol=1e-12)
    torch.testing.assert_close(predictor(targets), histories[:, 1:], rtol=0, atol=1e-12)


def test_fresh_state_is_that_after_the_start_symbol(predictor: Predictor) -> None:
    fresh, started = predictor.initial_state(2), predictor.start(2)[1]
    blank = torch.full((2, 1), predictor.blank_index)
    _, by_hand = predictor.forward_chunk(blank, predictor.empty_state(2))
    for one, two, three in zip(*map(named_tensors, (fresh, started, by_hand)), strict=True):
        assert torch.equal(one[1], two[1]) and torch.equal(one[1], three[1])
        assert one[1].shape[0] == 2 and one[1].is_contiguous()


def test_chunk_without_labels_changes_nothing(predictor: Predictor) -> None:
    state = predictor.initial_state(2)
    out, after = predictor.forward_chunk(torch.zeros(2, 0, dtype=torch.long), state)
    assert out.shape == (2, 0, predictor.output_size)
    for before, now in zip(named_tensors(state), named_tensors(after), strict=True):
        assert torch.equal(before[1], now[1])


def test_rows_can_be_held(predictor: Predictor) -> None:
    targets = torch.randint(V, (2, 2))
    state = predictor.initial_state(2)
    _, moved = predictor.forward_chunk(targets[:, :1], state)
    held = where(torch.tensor([True, False]), moved, state)
    out, _ = predictor.forward_chunk(targets[:, 1:], held)
    histories = predictor.all_histories(targets)
    torch.testing.assert_close(out[0, 0], histories[0, 2], rtol=0, atol=1e-12)
    alone = predictor.all_histories(targets[1:, 1:])
    torch.testing.assert_close(out[1, 0], alone[0, 1], rtol=0, atol=1e-12)


def test_every_parameter_learns(predictor: Predictor) -> None:
    predictor.all_histories(torch.arange(V)[None]).square().sum().backward()
    for name, parameter in predictor.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_a_label_does_not_reach_earlier_histories(predictor: Predictor) -> None:
    targets = torch.randint(V, (1, 5))
    other = targets.clone()
    other[0, 3] = (other[0, 3] + 1) % V
    before, after = predictor.all_histories(targets), predictor.all_histories(other)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4], after[:, 4])


def test_autocast_streams(predictor: Predictor) -> None:
    predictor = predictor.float()
    targets = torch.randint(V, (2, 3))
    expected = predictor.all_histories(targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, state = predictor.start(2)
        for u in range(3):
            out, state = predictor.forward_chunk(targets[:, u : u + 1], state)
        whole = predictor.all_histories(targets)
    torch.testing.assert_close(out[:, 0].float(), expected[:, 3], rtol=0, atol=0.03)
    torch.testing.assert_close(whole.float(), expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("context_size", [1, 2, 3])
def test_stateless_predictor_sees_its_context_only(context_size: int) -> None:
    predictor = StatelessPredictor(num_labels=V, embedding_size=6, context_size=context_size)
    targets = torch.tensor([[1, 2, 3, 4, 5]])
    histories = predictor.all_histories(targets)
    for place in range(5):
        other = targets.clone()
        other[0, place] = 9
        changed = (predictor.all_histories(other)[0, 5] != histories[0, 5]).any()
        assert bool(changed) == (place >= 5 - context_size)


def test_paper_sizes() -> None:
    predictor = LSTMPredictor(num_labels=2501, embedding_size=248)
    counts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in predictor.named_children()
    }
    assert counts["embedding"] == 2501 * 248
    assert counts["embedding"] / 1e6 == pytest.approx(0.62, rel=0.01)
    assert (counts["lstm"] + counts["projection"]) / 1e6 == pytest.approx(2.62, rel=0.01)
    assert predictor.output_size == 512


def test_dropout_is_for_training_only() -> None:
    for predictor in (
        LSTMPredictor(num_labels=V, embedding_size=4, hidden_size=6, num_layers=2, dropout=0.5),
        StatelessPredictor(num_labels=V, embedding_size=8, dropout=0.5),
    ):
        targets = torch.randint(V, (2, 8))
        predictor.train()
        assert not torch.equal(predictor.all_histories(targets), predictor.all_histories(targets))
        assert not torch.equal(predictor.start(4)[0][0], predictor.start(4)[0][1])
        predictor.eval()
        assert torch.equal(predictor.all_histories(targets), predictor.all_histories(targets))


@pytest.mark.parametrize(
    "build,message",
    [
        (lambda: LSTMPredictor(num_labels=1), "num_labels=1 and blank_index=0"),
        (lambda: LSTMPredictor(num_labels=5, blank_index=5), "blank_index=5"),
        (lambda: LSTMPredictor(num_labels=5, hidden_size=0), "hidden_size=0"),
        (lambda: LSTMPredictor(num_labels=5, num_layers=0), "num_layers=0"),
        (lambda: LSTMPredictor(num_labels=5, dropout=1.0), "dropout=1.0"),
        (lambda: StatelessPredictor(num_labels=5, context_size=0), "context_size=0"),
        (lambda: StatelessPredictor(num_labels=5, embedding_size=6, groups=4), "groups 4 must"),
        (lambda: StatelessPredictor(num_labels=5, output_size=7, groups=2), "output_size 7"),
    ],
)
def test_wrong_arguments_are_named(build: Callable[[], Predictor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_wrong_input_shape_is_named(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match=r"takes input of shape \(B, N\), got \(3,\)"):
        predictor.forward_chunk(torch.zeros(3, dtype=torch.long), predictor.initial_state(3))
