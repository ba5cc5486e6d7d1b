"""Small random transducers for the tests of beam search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.hypothesis import Hypothesis, ScoredHypothesis
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor
from sb_alexa.transducer.predictor import Predictor
from sb_alexa.transducer.stateless_predictor import StatelessPredictor

C = 5


def random_parts(
    seed: int, num_labels: int = 5, recurrent: bool = True, blank_bias: float = 0.0
) -> tuple[Predictor, Joiner]:
    """Wide weights, so that labels depend on frames and history; the bias sets their rate."""
    torch.manual_seed(seed)
    predictor: Predictor
    if recurrent:
        predictor = LSTMPredictor(
            num_labels=num_labels, embedding_size=4, hidden_size=6, output_size=C
        )
    else:
        predictor = StatelessPredictor(num_labels=num_labels, embedding_size=C, context_size=3)
    joiner = Joiner(encoder_size=C, predictor_size=C, num_labels=num_labels)
    for module in (predictor, joiner):
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.8)
        module.double().eval()
    with torch.no_grad():
        joiner.output.bias[0] += blank_bias
    return predictor, joiner


def random_search(seed: int, blank_bias: float = 0.0, **arguments: Any) -> BeamSearch:
    predictor, joiner = random_parts(seed, blank_bias=blank_bias)
    arguments = {"num_hypotheses": arguments.get("beam_size", 4), **arguments}
    return BeamSearch(predictor=predictor, joiner=joiner, **arguments)


def random_frames(*shape: int) -> Tensor:
    return torch.randn(*shape, C, dtype=torch.float64) * 2


def constant_search(probabilities: Sequence[float], **arguments: Any) -> BeamSearch:
    """The same distribution at every frame and after every label."""
    joiner = Joiner(encoder_size=C, predictor_size=C, num_labels=len(probabilities)).double()
    predictor = StatelessPredictor(num_labels=len(probabilities), embedding_size=C).double()
    with torch.no_grad():
        for parameter in (*predictor.parameters(), joiner.output.weight):
            parameter.zero_()
        joiner.output.bias.copy_(torch.tensor(probabilities, dtype=torch.float64).log())
    return BeamSearch(predictor=predictor, joiner=joiner, **arguments)


def in_chunks(
    search: BeamSearch,
    frames: Tensor,
    num_frames: Tensor,
    cuts: Sequence[int],
    phrases: Any = None,
) -> list[list[ScoredHypothesis]]:
    """`n_best`, in chunks of the given sizes, repeated until the end."""
    state = search.initial_state(len(frames), phrases)
    settled = [Hypothesis() for _ in frames]
    start = number = 0
    while start < frames.shape[1]:
        size = cuts[number % len(cuts)]
        chunk = frames[:, start : start + size]
        new, state = search.forward_chunk(
            chunk, state, (num_frames - start).clamp(0, len(chunk[0]))
        )
        settled = [whole + part for whole, part in zip(settled, new, strict=True)]
        start, number = start + size, number + 1
    return [
        [ScoredHypothesis(first + one.hypothesis, one.score) for one in ranked]
        for first, ranked in zip(settled, search.alternatives(state), strict=True)
    ]


def assert_same(
    actual: Sequence[ScoredHypothesis], expected: Sequence[ScoredHypothesis], atol: float = 1e-9
) -> None:
    mine, other = [one.hypothesis for one in actual], [one.hypothesis for one in expected]
    assert [one.tokens for one in mine] == [one.tokens for one in other]
    assert [one.frames for one in mine] == [one.frames for one in other]
    for one, two in zip(actual, expected, strict=True):
        assert one.score == pytest.approx(two.score, abs=atol)
        assert one.hypothesis.log_probs == pytest.approx(two.hypothesis.log_probs, abs=atol)
