"""Checkpoints are whole or absent."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sb_alexa.training.checkpointing as checkpointing
from sb_alexa.training.checkpointing import AtomicCheckpointer, CheckpointError


def make(folder: Path, size: int = 2) -> tuple[AtomicCheckpointer, nn.Linear]:
    model = nn.Linear(size, 1)
    return AtomicCheckpointer(str(folder), {"model": model}), model


def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer, model = make(tmp_path)
    nn.init.constant_(model.weight, 1.0)
    checkpointer.save_checkpoint()
    nn.init.constant_(model.weight, 2.0)

    def full(obj: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        Path(path).write_bytes(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(CheckpointError, match="No space left.*last good checkpoint is .*CKPT"):
            checkpointer.save_checkpoint()
    assert [path.name[:4] for path in tmp_path.iterdir()] == ["CKPT"], "half a checkpoint was left"
    checkpointer.recover_if_possible()
    assert model.weight.tolist() == [[1.0, 1.0]]


def test_a_kill_while_writing_leaves_no_checkpoint(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        checkpointer, _ = make(tmp_path)
        checkpointing._flush_to_disk = lambda folder: os._exit(9)  # type: ignore[assignment]
        checkpointer.save_checkpoint()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert list(tmp_path.iterdir()), "the kill came before anything was written"
    checkpointer, _ = make(tmp_path)
    assert checkpointer.list_checkpoints() == []
    assert list(tmp_path.iterdir()) == [], "the leftovers were not removed"


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    make(tmp_path)[0].save_checkpoint()
    other = AtomicCheckpointer(str(tmp_path), {"model": nn.Sequential(nn.Linear(2, 1))})
    with pytest.raises(CheckpointError, match=r"missing \['0.weight'.*unexpected \['weight'"):
        other.recover_if_possible()
    with pytest.raises(CheckpointError, match=r"weight \(1, 2\) instead of \(1, 3\)"):
        make(tmp_path, size=3)[0].recover_if_possible()


def test_only_the_best_and_the_last_are_kept(tmp_path: Path) -> None:
    checkpointer, _ = make(tmp_path)
    for wer in (5.0, 3.0, 4.0, 6.0):
        checkpointer.save_and_keep_only(meta={"WER": wer}, min_keys=["WER"], num_to_keep=1)
    assert sorted(one.meta["WER"] for one in checkpointer.list_checkpoints()) == [3.0, 6.0]


def test_the_thousandth_save_looks_through_the_folder_no_more_often_than_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer, _ = make(tmp_path)
    looks = []
    look = checkpointer.find_checkpoints
    monkeypatch.setattr(
        checkpointer, "find_checkpoints", lambda **options: looks.append(1) or look(**options)
    )
    counts = []
    for _ in range(3):
        looks.clear()
        checkpointer.save_and_keep_only()
        counts.append(len(looks))
    assert len(set(counts)) == 1
