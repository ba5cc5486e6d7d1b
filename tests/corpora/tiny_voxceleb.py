"""A corpus in VoxCeleb's layout that is written in milliseconds, and what tests do with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sb_alexa.corpora.trial_lists import Trial, trials_text
from sb_alexa.corpora.voxceleb import PreparedVoxCeleb, prepare_voxceleb

HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
TRAIN = [f"id100{i:02d}" for i in range(1, 9)]
TEST = ["id10270", "id10271", "id10272"]
SESSIONS = ["x6uYqmx31kE", "8jEAjG6SegY"]
TRIALS = [
    Trial(True, "id10270/x6uYqmx31kE/00001", "id10270/8jEAjG6SegY/00002"),
    Trial(False, "id10270/x6uYqmx31kE/00001", "id10271/8jEAjG6SegY/00001"),
    Trial(True, "id10272/x6uYqmx31kE/00002", "id10272/8jEAjG6SegY/00002"),
    Trial(False, "id10272/x6uYqmx31kE/00002", "id10270/8jEAjG6SegY/00002"),
]


def write_speaker(folder: Path, speaker: str, *, suffix: str = ".wav") -> None:
    """Write two sessions of two utterances; the k-th lasts 0.1 s + k ms."""
    for k in range(4):
        path = folder / speaker / SESSIONS[k // 2] / f"{k % 2 + 1:05d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng([int(speaker[2:]), k])
        soundfile.write(path, random.uniform(-0.1, 0.1, 1600 + 16 * k), 16_000)


def metadata_line(speaker: str, subset: str) -> str:
    number = int(speaker[2:])
    nationality = ["USA", "UK", "New Zealand"][number % 3]
    return f"{speaker}\tname_withheld\t{'mf'[number % 2]}\t{nationality}\t{subset}\n"


def write_corpus(data: Path) -> Path:
    """Write 8 training and 3 test speakers, metadata and a trial list."""
    for speaker in (*TRAIN, *TEST):
        write_speaker(data / "wav", speaker)
    lines = [metadata_line(one, "dev") for one in TRAIN]
    lines += [metadata_line(one, "test") for one in TEST]
    (data / "vox1_meta.csv").write_text(HEADER + "".join(lines))
    write_trials(data, TRIALS)
    return data


def write_trials(data: Path, trials: Sequence[Trial]) -> None:
    (data / "veri_mine.txt").write_text(trials_text(trials, suffix=".wav"))


ALL: dict[str, Any] = {
    "train_subsets": ["vox1_dev"],
    "test_lists": ["veri_mine.txt"],
    "num_dev_speakers": 3,
    "num_dev_trials_per_speaker": 2,
    "num_workers": 1,
}


def prepare(corpus: Path, **kwargs: Any) -> PreparedVoxCeleb:
    return prepare_voxceleb(corpus, corpus.parent / "save", **{**ALL, **kwargs})


def audio(corpus: Path, utterance: str) -> Path:
    return corpus / "wav" / f"{utterance}.wav"
