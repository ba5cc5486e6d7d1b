from __future__ import annotations

import pytest
import torch

from sb_alexa.bench.aligned_transducer import (
    AlignedBatch,
    aligned_batch,
    alignment_quality,
    train_aligned_transducer,
)
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

VOCABULARY, FEATURES = 12, 48


def _batch(
    batch_size: int = 6, num_frames: int = 40, num_labels: int = 9, **other: float
) -> AlignedBatch:
    return aligned_batch(
        batch_size=batch_size,
        num_frames=num_frames,
        num_labels=num_labels,
        vocabulary_size=VOCABULARY,
        feature_size=FEATURES,
        seed=int(other.get("seed", 3)),
        min_length_share=other.get("min_length_share", 1.0),
    )


@pytest.fixture(scope="module")
def trained() -> tuple[LSTMPredictor, Joiner]:
    return train_aligned_transducer(
        vocabulary_size=VOCABULARY, joint_size=48, feature_size=FEATURES, num_steps=120
    )


def test_lengths_and_padding() -> None:
    batch = _batch(batch_size=64, num_frames=40, num_labels=20, min_length_share=0.5)
    assert batch.num_frames[0] == 40 and batch.num_labels[0] == 20
    assert set(batch.num_frames.tolist()) <= set(range(20, 41))
    assert set(batch.num_labels.tolist()) == set(range(10, 21))
    is_padding = torch.arange(20) >= batch.num_labels[:, None]
    assert bool((batch.targets[is_padding] == 0).all())
    assert bool((batch.onsets[is_padding] == 40).all())
    assert bool((batch.targets[~is_padding] > 0).all())
    assert bool((batch.onsets < batch.num_frames[:, None])[~is_padding].all())


def test_labels_never_repeat_and_use_the_whole_vocabulary() -> None:
    batch = _batch(batch_size=64)
    assert bool((batch.targets[:, 1:] != batch.targets[:, :-1]).all())
    assert batch.targets.unique().tolist() == list(range(1, VOCABULARY))
    assert bool((batch.onsets[:, 1:] > batch.onsets[:, :-1]).all())


def test_same_seed_same_batch() -> None:
    assert torch.equal(_batch().encoder_out, _batch().encoder_out)
    assert not torch.equal(_batch().targets, _batch(seed=4).targets)


@pytest.mark.parametrize(
    ("num_frames", "num_labels", "share"), [(4, 5, 1.0), (10, 6, 0.5), (10, 1, 0.0)]
)
def test_a_label_without_a_frame_is_refused(num_frames: int, num_labels: int, share: float) -> None:
    with pytest.raises(ValueError, match="min_length_share"):
        _batch(num_frames=num_frames, num_labels=num_labels, min_length_share=share)


@pytest.mark.parametrize(
    ("batch_size", "num_frames", "num_labels", "share"),
    [(1, 5, 1, 1.0), (3, 300, 60, 0.5), (8, 50, 50, 1.0), (9, 20, 2, 1.0)],
)
def test_trained_pair_aligns_at_any_size(
    trained: tuple[LSTMPredictor, Joiner],
    batch_size: int,
    num_frames: int,
    num_labels: int,
    share: float,
) -> None:
    batch = _batch(batch_size, num_frames, num_labels, min_length_share=share)
    found, added = alignment_quality(*trained, batch)
    assert found > 0.97 and added < 0.03


def test_training_repeats_itself() -> None:
    states = [
        train_aligned_transducer(vocabulary_size=5, joint_size=24, num_steps=80)[1].state_dict()
        for _ in range(2)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_too_little_training_is_not_passed_over() -> None:
    with pytest.raises(RuntimeError, match="after 1 steps"):
        train_aligned_transducer(vocabulary_size=VOCABULARY, joint_size=24, num_steps=1)
