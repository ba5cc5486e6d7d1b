#!/usr/bin/env python3
"""Train a multi-talker transducer on simulated mixtures and test it on LibriCSS or its like.

> python train.py hparams/sts.yaml --data_folder LibriSpeech --libricss_folder LibriCSS
> torchrun --nproc_per_node=8 train.py hparams/sts.yaml --data_folder ... --libricss_folder ...

Every YAML key is an option. The same command again resumes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from speechbrain import Stage
from torch import Tensor

from sb_alexa.corpora.libricss import prepare_libricss
from sb_alexa.corpora.librispeech import prepare_librispeech
from sb_alexa.losses.ctc import ctc_loss_with_skips
from sb_alexa.training.channel_rows import ChannelRows, channel_rows, label_orders
from sb_alexa.training.interruption import run_script
from sb_alexa.training.mixture_batch import MixtureBatch
from sb_alexa.training.mixture_task import MixtureTask, PreparedMixtures
from sb_alexa.training.multitalker_recognition import MultiTalkerExperiment
from sb_alexa.training.recipe import RecipeResult, run_recipe


@dataclass(frozen=True)
class MixtureOutput:
    """What the model made of a batch."""

    encoder_out: Tensor  # (B, T, N, C)
    num_frames: Tensor  # (B,)


class MultiTalkerASR(MultiTalkerExperiment):
    """The science: a loss for each output channel in a fixed order, and what keeps them apart."""

    def compute_forward(self, batch: MixtureBatch, stage: Stage) -> MixtureOutput:
        batch = batch.to(self.device)
        features = self.modules.features.forward_counted(batch.wavs, batch.num_samples)  # (B, T, F)
        num_frames = self.modules.features.num_outputs(batch.num_samples)
        if stage == Stage.TRAIN and self.hparams.spec_augment is not None:
            features = self.hparams.spec_augment(features, num_frames)
        encoder_out = self.modules.encoder.forward_counted(features, num_frames)  # (B, T', N, C)
        return MixtureOutput(encoder_out, self.modules.encoder.num_outputs(num_frames))

    def compute_objectives(
        self, predictions: MixtureOutput, batch: MixtureBatch, stage: Stage
    ) -> Tensor:
        # Training looks at the step it is about to make, evaluation at the last one made.
        weights = self.hparams.loss_schedule(self.optimizer_step + (stage == Stage.TRAIN))
        batch = batch.to(self.device)
        loss = torch.zeros((), device=self.device)
        if bool(batch.arranged.all()):
            rows = channel_rows(predictions.encoder_out, predictions.num_frames, batch)
            if weights.ctc > 0:
                loss = loss + weights.ctc * self.ctc(rows, len(batch))
            if weights.transducer > 0:
                loss = loss + weights.transducer * self.transducer(rows, len(batch))
            if self.hparams.masking_weight > 0:
                loss = loss + self.hparams.masking_weight * self.masking(predictions, batch)
        if stage != Stage.TRAIN:
            found = self.hparams.search(predictions.encoder_out, predictions.num_frames)
            self.record(batch, found, float(loss))
        return loss

    def transducer(self, rows: ChannelRows, num_mixtures: int) -> Tensor:
        """Nats per mixture, summed over its channels."""
        free = self.hparams.permutation_invariant
        orders = label_orders(rows, self.hparams.num_channels) if free else [rows]
        losses = torch.stack([self.row_losses(one) for one in orders])  # (orders, N B)
        return losses.view(len(orders), -1, num_mixtures).sum(1).amin(0).mean()

    def row_losses(self, rows: ChannelRows) -> Tensor:
        """(N B,) nats."""
        penalty, frames = self.hparams.end_of_turn_penalty, rows.encoder_out.shape[1]
        if penalty is not None:
            penalty = penalty(rows.turn_end_s, frames, seconds_per_frame=self.seconds_per_frame)
        return self.hparams.transducer_loss(
            rows.encoder_out,
            self.modules.predictor.all_histories(rows.labels),  # (N B, U + 1, C)
            self.modules.joiner,
            rows.labels,
            num_frames=rows.num_frames,
            num_labels=rows.num_labels,
            label_penalty=penalty,
            reduction="none",
        )

    def ctc(self, rows: ChannelRows, num_mixtures: int) -> Tensor:
        """Nats per mixture; channels with more labels than frames are left out and counted."""
        log_probs = self.modules.ctc_head(rows.encoder_out).float().log_softmax(-1)
        sizes = rows.num_frames, rows.num_labels
        losses, possible = ctc_loss_with_skips(log_probs, rows.labels, *sizes)
        self.dropped_ctc_terms += int((~possible).sum())
        return losses.sum() / num_mixtures

    def masking(self, predictions: MixtureOutput, batch: MixtureBatch) -> Tensor:
        """What the encoder says on channels where nobody speaks."""
        frames, collar_s = predictions.encoder_out.shape[1], self.hparams.masking_collar_s
        active = batch.active_mask(frames, self.seconds_per_frame, collar_s=collar_s)
        return self.hparams.masking_loss(predictions.encoder_out, active, predictions.num_frames)


def prepare(values: dict[str, Any]) -> PreparedMixtures:
    """Manifests of the sources and of the meetings, and word pieces."""
    folder = Path(values["output_folder"], "prepared")
    sources = prepare_librispeech(
        values["data_folder"],
        folder,
        values["train_splits"],
        values["dev_splits"],
        values["test_splits"],
        num_word_pieces=values["num_word_pieces"],
        word_pieces_file=values["word_pieces_file"],
        max_bad_fraction=values["max_bad_fraction"],
        skip_prep=values["skip_prep"],
    )
    if values["libricss_folder"] is None:
        return PreparedMixtures(sources, None)
    meetings = prepare_libricss(
        values["libricss_folder"],
        folder / "libricss",
        audio=values["libricss_audio"],
        skip_prep=values["skip_prep"],
    )
    return PreparedMixtures(sources, meetings)


TASK = MixtureTask(
    experiment_class=MultiTalkerASR,
    prepare=prepare,
    known_keys={
        "transducer_loss", "end_of_turn_penalty", "masking_loss", "masking_weight",
        "masking_collar_s", "permutation_invariant", "word_pieces_file",
    },
)  # fmt: skip


def main(argv: list[str]) -> RecipeResult:
    """Run the recipe; `argv` is the command line without the program's name."""
    return run_recipe(argv, TASK)


if __name__ == "__main__":
    sys.exit(run_script(main, sys.argv[1:]))
