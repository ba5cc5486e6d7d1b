"""Batches of mixtures: labels, times and activity of each channel."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.training.mixture_batch import (
    MixtureBatch,
    MixtureInfo,
    MixtureItem,
    MixtureTargets,
    collate_mixtures,
)
from sb_alexa.turn import Turn

TOKENS = TurnTokens(num_word_pieces=26)
SOT, EOT = TOKENS.start, TOKENS.end
TALK = (
    Turn("anna", 0.0, 2.0, "A B"),
    Turn("ben", 1.5, 3.0, "C"),
    Turn("anna", 4.0, 4.5, "D"),
)
ALONE = (Turn("ben", 0.25, 1.0, "E"),)


def encode(text: str) -> list[int]:
    return ["_ABCDE".index(word) for word in text.split()]


def item(
    name: str, turns: tuple[Turn, ...], num_samples: int, num_channels: int = 2
) -> MixtureItem:
    info = MixtureInfo(name, name, "simulated", num_samples / 10, turns)
    targets = MixtureTargets(TOKENS, encode, num_channels)
    return targets.item(info, torch.ones(num_samples))


def make_batch() -> MixtureBatch:
    return collate_mixtures([item("talk", TALK, 50), item("alone", ALONE, 20)])


def test_each_channel_has_its_labels_and_the_ends_of_its_turns() -> None:
    batch = make_batch()
    assert len(batch) == 2 and batch.num_channels == 2
    assert batch.labels[0].tolist() == [[1, 2, EOT], [5, 0, 0]]
    assert batch.labels[1].tolist() == [[SOT, 3, EOT, SOT, 4], [0] * 5]
    assert [one.tolist() for one in batch.num_labels] == [[3, 1], [5, 0]]
    ends = [one.nan_to_num(-1).tolist() for one in batch.turn_end_s]
    assert ends == [[[-1, -1, 2.0], [-1] * 3], [[-1, -1, 3.0, -1, -1], [-1] * 5]]
    assert batch.wavs.shape == (2, 50) and not batch.wavs[1, 20:].any()
    assert batch.num_samples.tolist() == [50, 20]
    assert batch.wav_lens.tolist() == pytest.approx([1.0, 0.4])
    assert batch.seconds == 7.0 and [m.id for m in batch.utterances] == ["talk", "alone"]


def test_a_channel_where_nobody_speaks_has_no_labels() -> None:
    batch = collate_mixtures([item("alone", ALONE, 20)])
    assert batch.labels[1].shape == batch.turn_end_s[1].shape == (1, 0)
    assert batch.labels[1].dtype == torch.int64 and batch.num_labels[1].tolist() == [0]
    assert not batch.active_mask(20, 0.1)[0, 1].any()


def test_one_channel_says_all_turns_by_their_start() -> None:
    batch = collate_mixtures([item("talk", TALK, 50, num_channels=1)])
    assert batch.labels[0].tolist() == [[1, 2, EOT, SOT, 3, EOT, SOT, 4]]
    assert batch.active_mask(50, 0.1)[0, 0].sum() == 30 + 5


def test_activity_follows_the_turns_with_a_collar_after_them() -> None:
    batch = make_batch()
    frames = batch.active_mask(10, 0.5).int().tolist()
    assert frames[0] == [[1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0, 1, 0]]
    assert frames[1] == [[1, 1, 0, 0, 0, 0, 0, 0, 0, 0], [0] * 10]
    later = batch.active_mask(10, 0.5, collar_s=0.25).int().tolist()
    assert later[0] == [[1, 1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 0, 1, 1]]


@settings(max_examples=60, deadline=None)
@given(
    bounds_ms=st.lists(st.integers(0, 5000), min_size=2, max_size=8).map(sorted),
    frame_ms=st.integers(10, 90),
    offset_s=st.sampled_from([0.0, 3600.0]),
)
def test_activity_is_that_of_each_frame_looked_at_alone(
    bounds_ms: list[int], frame_ms: int, offset_s: float
) -> None:
    pairs = [
        (start, end)
        for start, end in zip(bounds_ms[::2], bounds_ms[1::2], strict=False)
        if end - start > 2
    ]
    first_frame = round(offset_s * 1000) // frame_ms
    shift_ms = first_frame * frame_ms
    turns = tuple(
        Turn("a", (start + shift_ms) / 1000, (end + shift_ms) / 1000, "A") for start, end in pairs
    )
    num_frames = 5000 // frame_ms + 1
    batch = collate_mixtures([item("one", turns, 10)])
    mask = batch.active_mask(first_frame + num_frames, frame_ms / 1000)[0, 0, first_frame:]
    for frame in range(num_frames):
        reach_ms = [
            min(end, (frame + 1) * frame_ms) - max(start, frame * frame_ms) for start, end in pairs
        ]
        longest_ms = max(reach_ms, default=0)
        if longest_ms <= 0 or longest_ms > 2:  # in between, rounding decides
            assert bool(mask[frame]) == (longest_ms > 0)


def test_a_mixture_without_labels_is_marked() -> None:
    crowd = (*TALK[:2], Turn("carl", 1.75, 2.5, "E"))
    info = MixtureInfo("crowd", "s", "OV40", 5.0, crowd)
    targets = MixtureTargets(TOKENS, encode)
    with pytest.raises(ValueError, match=r"mixture crowd: three turns overlap"):
        targets.item(info, torch.ones(50))
    batch = collate_mixtures(
        [targets.item_without_labels(info, torch.ones(50)), item("alone", ALONE, 20)]
    )
    assert batch.arranged.tolist() == [False, True]
    assert batch.num_labels[0].tolist() == [0, 1]
    assert batch.mixtures[0].turns == crowd


def test_every_tensor_moves() -> None:
    batch = make_batch().to("meta")
    tensors = [batch.wavs, batch.num_samples, batch.turn_bounds_s, batch.arranged]
    tensors += [*batch.labels, *batch.num_labels, *batch.turn_end_s]
    assert len(tensors) == 10 and {one.device.type for one in tensors} == {"meta"}
    assert math.isnan(make_batch().turn_bounds_s[1, 1, 0, 0])
