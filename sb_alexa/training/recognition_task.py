"""What recipes of speech recognition have in common: word pieces and feature statistics."""

from __future__ import annotations

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import run_on_main

from sb_alexa.corpora.feature_statistics import prepare_feature_statistics
from sb_alexa.corpora.librispeech import PreparedLibriSpeech
from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.model_configuration import MODEL_KEYS
from sb_alexa.inference.model_folder import WORD_PIECES, write_model_folder
from sb_alexa.training.recipe_task import P, RecipeTask, required

logger = logging.getLogger(__name__)
RECOGNITION_KEYS = frozenset(
    {
        "train_splits", "dev_splits", "test_splits", "num_word_pieces", "num_labels", "batch_size",
        "max_batch_seconds", "batch_size_valid", "max_utterance_seconds",
        "num_statistics_utterances", "loss_schedule", "spec_augment", "wav_augment", "search",
    }
)  # fmt: skip


class RecognitionTask(RecipeTask[P]):
    """Recognition of words: labels are word pieces, features are normalised globally."""

    model_keys: tuple[str, ...] = MODEL_KEYS
    opens_with = "sb-alexa transcribe {folder} audio.wav"

    @abstractmethod
    def speech(self, prepared: P) -> PreparedLibriSpeech:
        """The utterances that word pieces and feature statistics come from."""

    def label_keys(self, word_pieces: WordPieces) -> dict[str, Any]:
        """What the word pieces decide about the YAML."""
        return {"num_labels": word_pieces.num_labels}

    def decided_keys(self, prepared: P) -> dict[str, Any]:
        return self.label_keys(self._word_pieces(prepared))

    def before_training(self, prepared: P, hparams: dict[str, Any], folder: Path) -> None:
        speech = self.speech(prepared)
        path = folder / "prepared" / "feature_statistics.json"
        run_on_main(
            prepare_feature_statistics,
            kwargs={
                "manifest_path": required(speech.train_csv),
                "data_root": speech.data_root,
                "save_path": path,
                "features": hparams["log_mel"],
                "num_utterances": hparams["num_statistics_utterances"],
            },
        )
        hparams["normalize"].load_statistics(path)
        if not self.has_same_labels(hparams["pretrained_folder"], prepared):
            logger.warning(
                "the word pieces of pretrained_folder=%s are not those of this training: the "
                "labels it learned mean something else here. word_pieces_file=%s keeps them",
                hparams["pretrained_folder"], Path(hparams["pretrained_folder"], WORD_PIECES),
            )  # fmt: skip

    def has_same_labels(self, pretrained_folder: str | Path | None, prepared: P) -> bool:
        """Whether a trained model has the word pieces of this training, as far as it names any."""
        if pretrained_folder is None:
            return True
        path = Path(pretrained_folder, WORD_PIECES)
        own = required(self.speech(prepared).tokenizer_model)
        return not path.is_file() or path.read_bytes() == own.read_bytes()

    def experiment_arguments(self, prepared: P, hparams: dict[str, Any]) -> dict[str, Any]:
        return {"word_pieces": self._word_pieces(prepared)}

    def write_model(self, folder: Path, configuration: str, experiment: Any, prepared: P) -> None:
        # A loss with weights of its own stays behind.
        modules = {k: m for k, m in experiment.raw_modules.items() if k in self.model_keys}
        write_model_folder(
            folder,
            configuration=configuration,
            modules=modules,
            word_pieces_path=required(self.speech(prepared).tokenizer_model),
        )

    def _word_pieces(self, prepared: P) -> WordPieces:
        return WordPieces(required(self.speech(prepared).tokenizer_model))
