#!/usr/bin/env python3
"""Train and test speaker embeddings on VoxCeleb, or on any corpus laid out like it.

> python train.py hparams/baseline.yaml --data_folder /path/to/VoxCeleb
> torchrun --nproc_per_node=8 train.py hparams/arw_pw.yaml --data_folder /path/to/VoxCeleb

Every YAML key is an option. Running the same command again resumes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from speechbrain import Stage
from torch import Tensor

from sb_alexa.corpora.voxceleb import PreparedVoxCeleb, prepare_voxceleb
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.training.gathered_batch import gather_speaker_batch
from sb_alexa.training.interruption import run_script
from sb_alexa.training.recipe import RecipeResult, run_recipe
from sb_alexa.training.speaker_dataio import SpeakerSpeechBatch
from sb_alexa.training.speaker_task import SpeakerTask
from sb_alexa.training.verification_experiment import VerificationExperiment


class SpeakerEmbedding(VerificationExperiment):
    """The science: embeddings of all processes are compared; an adversary may weight them."""

    def compute_forward(self, batch: SpeakerSpeechBatch, stage: Stage) -> SpeakerBatch:
        batch = batch.to(self.device)
        if self.hparams.augment is not None:
            batch = batch.augmented(self.hparams.augment)
        embeddings = self.modules.speaker_encoder(batch.wavs)  # (B, E)
        return gather_speaker_batch(embeddings, batch.speakers)

    def compute_objectives(
        self, predictions: SpeakerBatch, batch: SpeakerSpeechBatch, stage: Stage
    ) -> Tensor:
        """Nats per utterance; after each batch the adversary takes its turn on the same one."""
        return self.hparams.reweighting.loss(predictions)


def prepare(values: dict[str, Any]) -> PreparedVoxCeleb:
    """Manifests, trial lists and speaker table."""
    return prepare_voxceleb(
        values["data_folder"],
        Path(values["output_folder"], "prepared"),
        values["train_subsets"],
        values["test_lists"],
        metadata_files=values["metadata_files"],
        num_dev_speakers=values["num_dev_speakers"],
        num_dev_utterances_per_speaker=values["num_dev_utterances_per_speaker"],
        num_dev_trials_per_speaker=values["num_dev_trials_per_speaker"],
        seed=values["seed"],
        max_bad_fraction=values["max_bad_fraction"],
        skip_prep=values["skip_prep"],
    )


TASK = SpeakerTask(experiment_class=SpeakerEmbedding, prepare=prepare)


def main(argv: list[str]) -> RecipeResult:
    """Run the recipe; `argv` is the command line without the program's name."""
    return run_recipe(argv, TASK)


if __name__ == "__main__":
    sys.exit(run_script(main, sys.argv[1:]))
