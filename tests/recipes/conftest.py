"""A tiny corpus in LibriSpeech's layout and a way to run the recipe on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / "recipes" / "LibriSpeech" / "ASR" / "train.py"
MINI = ROOT / "recipes" / "LibriSpeech" / "ASR" / "hparams" / "mini.yaml"

# A few steps of a very small model: the tests look at the course of a run, not at its result.
TINY = {
    "num_steps": 6, "warmup_steps": 2, "ctc_only_steps": 2, "batch_size": 4, "num_word_pieces": 30,
    "joint_size": 16, "embedding_size": 16, "valid_interval_epochs": 1, "n_mels": 16,
}  # fmt: skip
CONV_RNNT = {
    "encoder": "{local_channels: [4, 4], front_end_size: 16, global_dilations: [1], "
    "hidden_size: 16, num_layers: 1}",
}

WORDS = [
    "THE",
    "QUICK",
    "BROWN",
    "FOX",
    "JUMPS",
    "OVER",
    "A",
    "LAZY",
    "DOG",
    "WHILE",
    "SEVEN",
    "WIZARDS",
    "BAKE",
    "BREAD",
]


def write_corpus(folder: Path) -> Path:
    """Noise read by six readers: LibriSpeech's folders without its speech."""
    random = np.random.default_rng(0)
    for split, readers in (("train-clean", (1, 2, 3)), ("dev-clean", (4,)), ("test-clean", (5, 6))):
        for reader in readers:
            chapter = folder / split / str(reader) / "10"
            chapter.mkdir(parents=True)
            lines = []
            for index in range(4):
                name = f"{reader}-10-{index:04d}"
                samples = 0.1 * random.standard_normal(16000 + 1600 * index)
                soundfile.write(chapter / f"{name}.flac", samples, 16000, subtype="PCM_16")
                words = random.choice(WORDS, size=3 + index)
                lines.append(f"{name} {' '.join(words)}\n")
            (chapter / f"{reader}-10.trans.txt").write_text("".join(lines))
    table = "".join(
        f"{reader} | {'MF'[reader % 2]} | x | 1.0 | Somebody\n" for reader in range(1, 7)
    )
    (folder / "SPEAKERS.TXT").write_text(";ID  |SEX| SUBSET |MINUTES| NAME\n" + table)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def arguments(
    corpus: Path,
    output: Path,
    *,
    recipe: Path = MINI,
    sizes: Mapping[str, object] = CONV_RNNT,
    **options: object,
) -> list[str]:
    """The recipe's command line."""
    settings = {"data_folder": corpus, "output_folder": output, **TINY, **sizes, **options}
    listed = [f"--{name}={value}" for name, value in settings.items()]
    return [str(recipe), *listed, "--noprogressbar", "--device=cpu"]


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def output_of(process: subprocess.CompletedProcess[str]) -> str:
    # SpeechBrain's logger reports an exception on standard output once the run's log is open.
    return process.stdout + process.stderr


@pytest.fixture
def run() -> Run:
    """Run the recipe in a process of its own, as a user does."""

    def run(*argv: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
        command = [sys.executable]
        if processes > 1:
            launcher = ["-m", "torch.distributed.run", "--standalone"]
            command += [*launcher, f"--nproc_per_node={processes}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [*command, str(TRAIN), *argv],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
