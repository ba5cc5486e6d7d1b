"""Batches of equal lengths: nothing is lost, padded or dealt unevenly."""

from __future__ import annotations

from pathlib import Path

import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.inference.embedding_batches import (
    RecordingDataset,
    plan_batches,
    share_batches,
)

DURATIONS = st.lists(st.sampled_from([0.5, 1.0, 3.25, 40.0, 250.0]), min_size=1, max_size=40)


@given(durations=DURATIONS, batch_size=st.integers(1, 9), limit=st.sampled_from([None, 3.0]))
def test_a_plan_holds_everything_once_by_length(durations, batch_size, limit) -> None:
    plan = plan_batches(durations, sample_rate=100, batch_size=batch_size, max_seconds=limit)
    assert sorted(row for batch in plan for row in batch.rows) == list(range(len(durations)))
    for batch in plan:
        kept = {min(durations[row], limit or 1e9) for row in batch.rows}
        assert len(kept) == 1
        assert batch.seconds == kept.pop() * len(batch.rows)
        assert len(batch.rows) <= batch_size
        assert batch.seconds <= 100 or len(batch.rows) == 1
    assert [batch.seconds for batch in plan] == sorted((b.seconds for b in plan), reverse=True)


@given(durations=DURATIONS, num_shares=st.integers(1, 4))
def test_shares_are_balanced_by_audio(durations, num_shares) -> None:
    plan = plan_batches(durations, sample_rate=100, batch_size=4)
    shares = share_batches(plan, num_shares)
    assert len(shares) == num_shares
    dealt = [batch.rows for share in shares for batch in share]
    assert sorted(dealt) == sorted(batch.rows for batch in plan)
    seconds = [sum(batch.seconds for batch in share) for share in shares]
    assert max(seconds) - min(seconds) <= plan[0].seconds


def test_rounded_durations_are_told_apart_by_reading(tmp_path: Path) -> None:
    utterances = []
    for name, length in (("a", 1000), ("b", 1003), ("c", 1000)):
        soundfile.write(tmp_path / name, torch.rand(length).numpy(), 16000, format="WAV")
        utterances.append(Utterance(name, 0.0625, str(tmp_path / name), name, ""))
    plan = plan_batches([0.0625] * 3, sample_rate=16000, batch_size=8)
    (read,) = list(RecordingDataset(utterances, plan, sample_rate=16000))
    assert {rows: wavs.shape for rows, wavs in read.groups} == {(0, 2): (2, 1000), (1,): (1, 1003)}
    assert read.bad == ()


def test_what_is_read_of_long_recordings(tmp_path: Path) -> None:
    """At another rate, too, exactly the seconds asked for."""
    utterances = []
    for name, rate in (("a", 16000), ("b", 44100), ("c", 8000)):
        soundfile.write(tmp_path / name, torch.rand(2 * rate).numpy(), rate, format="WAV")
        utterances.append(Utterance(name, 2.0, str(tmp_path / name), name, ""))
    plan = plan_batches([2.0] * 3, sample_rate=16000, batch_size=8, max_seconds=0.33337)
    dataset = RecordingDataset(utterances, plan, sample_rate=16000, max_seconds=0.33337)
    ((rows, wavs),) = dataset[0].groups
    assert rows == (0, 1, 2) and wavs.shape == (3, round(0.33337 * 16000))
