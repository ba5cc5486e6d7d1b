"""Channels of mixtures as rows of one batch."""

from __future__ import annotations

import pytest
import torch

from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.training.channel_rows import channel_rows, label_orders
from sb_alexa.training.mixture_batch import (
    MixtureBatch,
    MixtureInfo,
    MixtureTargets,
    collate_mixtures,
)
from sb_alexa.turn import Turn


def batch() -> MixtureBatch:
    """Two mixtures; on the second channel of the first nobody speaks."""
    targets = MixtureTargets(TurnTokens(num_word_pieces=9), lambda text: [len(text)] * 2)
    alone = (Turn("anna", 0.0, 1.0, "GO"),)
    both = (Turn("anna", 0.0, 1.0, "STOP"), Turn("ben", 0.5, 2.0, "A"), Turn("eve", 2.5, 3.0, "UP"))
    infos = [MixtureInfo(str(n), str(n), "x", 3.0, turns) for n, turns in enumerate((alone, both))]
    return collate_mixtures([targets.item(info, torch.zeros(48000)) for info in infos])


def test_row_n_b_is_channel_n_of_mixture_b() -> None:
    mixtures, encoder_out = batch(), torch.randn(2, 7, 2, 3)
    rows = channel_rows(encoder_out, torch.tensor([5, 7]), mixtures)
    assert rows.num_frames.tolist() == [5, 7, 5, 7]
    for channel in range(2):
        for number in range(2):
            row = 2 * channel + number
            assert torch.equal(rows.encoder_out[row], encoder_out[number, :, channel])
            count = int(mixtures.num_labels[channel][number])
            assert int(rows.num_labels[row]) == count
            expected = mixtures.labels[channel][number, :count]
            assert torch.equal(rows.labels[row, :count], expected)
            assert not rows.labels[row, count:].any()
    assert rows.num_labels.tolist()[2] == 0  # nobody
    ends = rows.turn_end_s.isfinite()
    assert (rows.labels[ends] == 11).all() and ends.sum() == (rows.labels == 11).sum() > 0


def test_labels_are_tried_in_every_order() -> None:
    mixtures = batch()
    rows = channel_rows(torch.randn(2, 7, 2, 3), torch.tensor([5, 7]), mixtures)
    given, swapped = label_orders(rows, 2)
    assert torch.equal(given.labels, rows.labels)
    assert torch.equal(swapped.labels, rows.labels[[2, 3, 0, 1]])
    assert torch.equal(swapped.num_labels, rows.num_labels[[2, 3, 0, 1]])
    assert torch.equal(swapped.encoder_out, rows.encoder_out)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="3 output channels and the batch labels for 2"):
        channel_rows(torch.randn(2, 7, 3, 3), torch.tensor([5, 7]), batch())
