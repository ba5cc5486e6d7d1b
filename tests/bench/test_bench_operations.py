from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.operations import _MORE_OPERATIONS, count_macs, macs_per_second
from tests.bench.tiny_recogniser import HIDDEN, JOINT, LABELS, MELS, build_tiny


def test_count_equals_the_formula() -> None:
    """Per 30 ms frame: Fourier and mel matrices of 3 frames, two LSTMs with projections, joiner."""
    recogniser = build_tiny(tokens_per_second=1e-6)  # no label, so the predictor does not run
    features = 3 * (400 * 2 * 257 + 257 * MELS)
    first = 4 * HIDDEN * (3 * MELS + HIDDEN) + HIDDEN * JOINT
    second = 4 * HIDDEN * (JOINT + HIDDEN) + HIDDEN * JOINT
    expected = (features + first + second + JOINT * LABELS) * 1000 / 30
    counted = macs_per_second(recogniser, EndlessAudio.noise(), num_chunks=4, warm_up_chunks=1)
    assert counted == pytest.approx(expected, rel=1e-9)


def test_labels_cost_extra() -> None:
    audio = EndlessAudio.noise()
    silent = macs_per_second(build_tiny(tokens_per_second=1e-6), audio)
    assert macs_per_second(build_tiny(tokens_per_second=10.0), audio) > silent


def test_attention_is_counted() -> None:
    query, key = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
    with (
        torch.inference_mode(),
        FlopCounterMode(display=False, custom_mapping=_MORE_OPERATIONS) as c,
    ):
        torch.nn.functional.scaled_dot_product_attention(query, key, key)
    assert c.get_total_flops() == 2 * (2 * 2 * 3 * 5 * 7 * 8)  # scores and mixtures


def test_products_of_a_matrix_and_a_vector_are_counted() -> None:
    matrix, vector, sums = torch.randn(5, 7), torch.randn(7), torch.randn(5)
    assert count_macs(lambda: torch.mv(matrix, vector)) == 5 * 7
    assert count_macs(lambda: torch.addmv(sums, matrix, vector)) == 5 * 7
    assert count_macs(lambda: torch.addmv(sums, matrix, vector, out=torch.empty(5))) == 5 * 7


def test_an_lstm_is_counted_whole_without_gradients() -> None:
    lstm = torch.nn.LSTM(input_size=6, hidden_size=8, batch_first=True)
    with torch.inference_mode():
        counted = count_macs(lambda: lstm(torch.zeros(2, 3, 6)))
    assert counted == 2 * 3 * 4 * 8 * (6 + 8)
