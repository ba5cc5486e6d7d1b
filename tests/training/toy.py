"""A tiny recogniser and a tiny corpus for tests of the training loop, runnable under torchrun.

python toy.py FOLDER --steps 20 --output weights.pt [--global_batch 4] [--fail_at 7]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from speechbrain import Stage
from speechbrain.utils.distributed import ddp_init_group
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.encoders.conv_rnnt import ConvRNNTEncoder
from sb_alexa.losses.transducer import transducer_loss
from sb_alexa.nn.frame_stacking import FrameStacking
from sb_alexa.nn.log_mel import LogMel
from sb_alexa.streaming.sequential import StreamingSequential
from sb_alexa.training.batching import BatchPlan, ShardedBatchSampler
from sb_alexa.training.checkpointing import AtomicCheckpointer
from sb_alexa.training.dataio import SpeechBatch, SpeechDataset, speech_loader
from sb_alexa.training.experiment import Experiment
from sb_alexa.training.processes import leave_group, rank_and_size
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.stateless_predictor import StatelessPredictor


def write_utterances(folder: Path, number: int = 12) -> list[Utterance]:
    """Noise of unequal lengths with texts of the letters a to e."""
    random = np.random.default_rng(0)
    utterances = []
    for index in range(number):
        seconds = 0.4 + 0.05 * index
        path = folder / f"{index:02d}.wav"
        if not path.exists():
            soundfile.write(path, 0.1 * random.standard_normal(int(16000 * seconds)), 16000)
        text = "abcde"[: 1 + index % 5]
        utterances.append(Utterance(f"{index:02d}", seconds, str(path), str(index % 3), text))
    return utterances


def encode(text: str) -> list[int]:
    return [ord(letter) - ord("a") + 1 for letter in text]


def make_modules(dropout: float = 0.0) -> dict[str, nn.Module]:
    torch.manual_seed(7)
    encoder = ConvRNNTEncoder(
        input_size=24,
        local_channels=(4, 4),
        local_kernel_size=3,
        global_dilations=(1, 2),
        reduction_ratio=2,
        num_layers=1,
        hidden_size=16,
        projection_size=None,
        dropout=dropout,
    )
    return {
        "features": StreamingSequential(
            LogMel(n_mels=8), FrameStacking(num_features=8, num_frames=3)
        ),
        "encoder": encoder,
        "predictor": StatelessPredictor(num_labels=6, embedding_size=16),
        "joiner": Joiner(encoder_size=16, predictor_size=16, num_labels=6),
    }


class ToyExperiment(Experiment):
    """Transducer loss of a tiny ConvRNN-T; can be told to fail."""

    die_after: int | None = None  # leave training after this optimizer step, as if killed
    poison: frozenset[str] = frozenset()  # ids of utterances whose audio becomes NaN
    seen: list[list[str]]

    def compute_forward(self, batch: SpeechBatch, stage: Stage) -> tuple[Tensor, Tensor]:
        dtype = next(self.modules.parameters()).dtype
        wavs = batch.wavs.to(dtype)
        bad = [utterance.id in self.poison for utterance in batch.utterances]
        wavs = wavs.masked_fill(torch.tensor(bad)[:, None], float("nan"))
        features = self.modules.features.forward_counted(wavs, batch.num_samples)
        frames = self.modules.features.num_outputs(batch.num_samples)
        return self.modules.encoder.forward_counted(features, frames), frames

    def compute_objectives(self, predictions: Any, batch: SpeechBatch, stage: Stage) -> Tensor:
        encoder_out, frames = predictions
        if stage == Stage.TRAIN:
            self.seen.append([utterance.id for utterance in batch.utterances])
        if not torch.isfinite(encoder_out).all():
            return encoder_out.sum()  # a NaN loss, which the loop must cope with
        return transducer_loss(
            encoder_out,
            self.modules.predictor.all_histories(batch.labels),
            self.modules.joiner,
            batch.labels,
            num_frames=frames,
            num_labels=batch.num_labels,
        )

    def on_fit_batch_end(self, batch: Any, outputs: Any, loss: Any, should_step: bool) -> None:
        if self.die_after is not None and self.optimizer_step >= self.die_after:
            raise RuntimeError("killed")


def make_experiment(
    folder: Path,
    *,
    steps: int,
    global_batch: int = 4,
    optimizer: str = "AdamW",
    double: bool = False,
    dropout: float = 0.0,
    run_opts: dict[str, Any] | None = None,
    checkpoints: bool = True,
    num_workers: int = 0,
    max_batch_seconds: float | None = None,
    **hparams: Any,
) -> tuple[ToyExperiment, DataLoader[SpeechBatch], EpochCounter]:
    """An experiment, its training loader and its epoch counter."""
    rank, size = rank_and_size()
    utterances = write_utterances(folder)
    modules = make_modules(dropout)
    if double:
        modules = {name: module.double() for name, module in modules.items()}
    counter = EpochCounter(limit=100)
    recoverables = {"model": nn.ModuleDict(modules), "counter": counter}
    plan = BatchPlan(
        durations_s=tuple(utterance.duration_s for utterance in utterances),
        batch_size=global_batch,
        max_batch_seconds=max_batch_seconds,
        num_processes=size,
        seed=3,
    )
    sampler = ShardedBatchSampler(plan, rank=rank, num_processes=size)
    dataset = SpeechDataset(utterances, encode=encode)
    loader = speech_loader(dataset, sampler, num_workers=num_workers)
    classes = {"AdamW": torch.optim.AdamW, "SGD": torch.optim.SGD}
    settings = {"seed": 5, "num_steps": steps, "lr_schedule": lambda step: 0.01, **hparams}
    experiment = ToyExperiment(
        modules=modules,
        opt_class=lambda parameters: classes[optimizer](parameters, lr=0.01),
        hparams=settings,
        run_opts={"device": "cpu", "noprogressbar": True, **(run_opts or {})},
        checkpointer=AtomicCheckpointer(str(folder / "save"), recoverables)
        if checkpoints
        else None,
    )
    experiment.seen = []
    experiment.train_sampler = sampler
    return experiment, loader, counter


def weights(experiment: Experiment) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in experiment.modules.state_dict().items()}


def gloo_threads() -> list[str]:
    """Names of the threads of gloo that run in this process (none where /proc does not exist)."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--global_batch", type=int, default=4)
    parser.add_argument("--poison", default="")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ddp_init_group(RunOptions(distributed_backend="gloo"))
    experiment, loader, counter = make_experiment(
        args.folder,
        steps=args.steps,
        global_batch=args.global_batch,
        optimizer="SGD",
        double=True,
        checkpoints=False,
        run_opts={"distributed_backend": "gloo", "nonfinite_patience": 100},
    )
    experiment.poison = frozenset(args.poison.split(",")) - {""}
    experiment.fit(counter, loader)
    if rank_and_size()[0] == 0:
        torch.save(weights(experiment), args.output)
    leave_group()
    assert not gloo_threads(), "the group is still held: its threads may abort the exit"


if __name__ == "__main__":
    main()
