#!/usr/bin/env python3
"""Train and test a streaming transducer on LibriSpeech, or on any corpus laid out like it.

> python train.py hparams/conv_rnnt.yaml --data_folder /path/to/LibriSpeech
> torchrun --nproc_per_node=8 train.py hparams/conv_rnnt.yaml --data_folder /path/to/LibriSpeech

Every YAML key is an option. Running the same command again resumes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from speechbrain import Stage
from torch import Tensor

from sb_alexa.corpora.librispeech import PreparedLibriSpeech, prepare_librispeech
from sb_alexa.losses.ctc import ctc_loss_with_skips
from sb_alexa.nn.gates import Gates
from sb_alexa.training.dataio import SpeechBatch
from sb_alexa.training.gated_recognition import GatedRecognitionExperiment
from sb_alexa.training.interruption import run_script
from sb_alexa.training.recipe import RecipeResult, run_recipe
from sb_alexa.training.schedules import LossWeights
from sb_alexa.training.speech_task import SpeechTask
from sb_alexa.transducer.ctc_best_path import ctc_best_path
from sb_alexa.transducer.hypothesis import Hypothesis


@dataclass(frozen=True)
class TransducerOutput:
    """What the model made of a batch; `batch` is the one it saw, augmentation included."""

    batch: SpeechBatch
    features: Tensor  # (B, T, F), masked as the encoder heard them
    encoder_out: Tensor  # (B, T, C)
    num_frames: Tensor  # (B,)
    gates: Gates | None = None  # of an encoder with arbitrators


class TransducerASR(GatedRecognitionExperiment):
    """The science: features, encoder, predictor, joiner; transducer loss with CTC beside it."""

    def compute_forward(self, batch: SpeechBatch, stage: Stage) -> TransducerOutput:
        batch = batch.to(self.device)
        if stage == Stage.TRAIN and self.hparams.wav_augment is not None:
            batch = batch.augmented(self.hparams.wav_augment)
        features = self.modules.features.forward_counted(batch.wavs, batch.num_samples)  # (B, T, F)
        num_frames = self.modules.features.num_outputs(batch.num_samples)
        if stage == Stage.TRAIN and self.hparams.spec_augment is not None:
            features = self.hparams.spec_augment(features, num_frames)
        features = self.with_cohorts(features, batch, stage)
        encoder_out, gates = self.encode(features, num_frames, stage)  # (B, T', C)
        num_frames = self.modules.encoder.num_outputs(num_frames)
        return TransducerOutput(batch, features, encoder_out, num_frames, gates)

    def compute_objectives(
        self, predictions: TransducerOutput, batch: SpeechBatch, stage: Stage
    ) -> Tensor:
        # Training looks at the step it is about to make, evaluation at the last one made.
        weights = self.hparams.loss_schedule(self.optimizer_step + (stage == Stage.TRAIN))
        batch = predictions.batch
        loss = torch.zeros((), device=self.device)
        if weights.ctc > 0:
            loss = loss + weights.ctc * self.ctc(predictions, batch)
        if weights.transducer > 0:
            loss = loss + weights.transducer * self.transducer(predictions, batch)
        if stage == Stage.TRAIN and predictions.gates is not None:
            frames = predictions.num_frames
            loss = loss + self.compute_cost(predictions.gates, frames)
            loss = loss + self.distillation(predictions.features, frames, predictions.encoder_out)
        if stage != Stage.TRAIN:
            spent = self.gate_counts(predictions.gates, predictions.num_frames)
            self.record(batch, self.recognise(predictions, weights), float(loss), spent)
        return loss

    def recognise(self, predictions: TransducerOutput, weights: LossWeights) -> list[Hypothesis]:
        """Greedy search; the best CTC path as long as the transducer has not begun to train."""
        if weights.transducer > 0:
            return self.hparams.search(predictions.encoder_out, predictions.num_frames)
        log_probs = self.ctc_log_probs(predictions)
        return ctc_best_path(log_probs, predictions.num_frames)

    def is_candidate(self) -> bool:
        """The WER of the best CTC path says nothing about a transducer that has not begun."""
        begun = self.hparams.loss_schedule(self.optimizer_step).transducer > 0
        return begun and super().is_candidate()

    def ctc_log_probs(self, predictions: TransducerOutput) -> Tensor:
        return self.modules.ctc_head(predictions.encoder_out).float().log_softmax(-1)

    def transducer(self, predictions: TransducerOutput, batch: SpeechBatch) -> Tensor:
        """Nats per utterance."""
        return self.hparams.transducer_loss(
            predictions.encoder_out,
            self.modules.predictor.all_histories(batch.labels),  # (B, U + 1, C)
            self.modules.joiner,
            batch.labels,
            num_frames=predictions.num_frames,
            num_labels=batch.num_labels,
            reduction="mean",
        )

    def ctc(self, predictions: TransducerOutput, batch: SpeechBatch) -> Tensor:
        """Nats per utterance; utterances with more labels than frames are left out and counted."""
        losses, possible = ctc_loss_with_skips(
            self.ctc_log_probs(predictions), batch.labels, predictions.num_frames, batch.num_labels
        )
        if not bool(possible.all()):
            self.dropped_ctc_terms += int((~possible).sum())
        return losses.mean()


def prepare(values: dict[str, Any]) -> PreparedLibriSpeech:
    """Manifests, speaker table and word pieces."""
    return prepare_librispeech(
        values["data_folder"],
        Path(values["output_folder"], "prepared"),
        values["train_splits"],
        values["dev_splits"],
        values["test_splits"],
        num_word_pieces=values["num_word_pieces"],
        word_pieces_file=values["word_pieces_file"],
        max_bad_fraction=values["max_bad_fraction"],
        skip_prep=values["skip_prep"],
    )


TASK = SpeechTask(
    experiment_class=TransducerASR,
    prepare=prepare,
    known_keys={
        "log_mel",
        "normalize",
        "transducer_loss",
        "gate_schedule",
        "compute_cost",
        "distillation_weight",
        "word_pieces_file",
    },  # fmt: skip
)


def main(argv: list[str]) -> RecipeResult:
    """Run the recipe; `argv` is the command line without the program's name."""
    return run_recipe(argv, TASK)


if __name__ == "__main__":
    sys.exit(run_script(main, sys.argv[1:]))
