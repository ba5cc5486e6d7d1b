"""A trained model of speakers, opened from its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.trial_lists import Trial
from sb_alexa.inference.embedding_batches import unusable
from sb_alexa.inference.model_folder import Model, ModelFolderError, is_speaker_model
from sb_alexa.inference.model_interface import ModelInterface
from sb_alexa.inference.speaker_embeddings import SpeakerEmbeddings
from sb_alexa.inference.trial_scoring import score_trials
from sb_alexa.inference.verification_settings import (
    COHORT,
    VERIFICATION,
    VerificationSettings,
    read_verification,
)

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Verification:
    """What comparing two recordings gives.

    Arguments
    ---------
    score : float
        What is compared with the threshold: normalised where the folder holds a cohort, else the
        cosine.
    cosine : float
        Similarity of the embeddings, between -1 and 1.
    log_likelihood_ratio : float | None
        How much more probable the score is with one speaker than with two, as natural logarithm;
        None where the folder holds no calibration.
    same_speaker : bool | None
        Whether the score reaches the threshold; None without a threshold.
    threshold : float | None
        The one given, or the folder's.
    """

    score: float
    cosine: float
    log_likelihood_ratio: float | None
    same_speaker: bool | None
    threshold: float | None


class SpeakerRecognition(ModelInterface):
    """Whether two recordings have the same speaker.

    `mods` holds the modules, `hparams` everything in the YAML.

    Arguments
    ---------
    modules : dict
        `speaker_encoder`.
    hparams : dict
        `sample_rate`, at least; `verification` may hold `VerificationSettings`.
    run_opts : dict | None
        SpeechBrain's run options, for example ``{"device": "cuda:0"}``.

    Raises
    ------
    ModelFolderError
        If a part is missing, or it is a recogniser of words.

    Example
    -------
    ::

        recognition = SpeakerRecognition.from_hparams(source="results/ecapa/1234")
        recognition.verify_files("a.wav", "b.wav").same_speaker  # True
    """

    HPARAMS_NEEDED = ["sample_rate"]
    MODULES_NEEDED = ["speaker_encoder"]
    OPTIONAL_FILES = (VERIFICATION, COHORT)

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        hparams: Mapping[str, Any],
        run_opts: Mapping[str, Any] | None = None,
        freeze_params: bool = True,
    ) -> None:
        if not is_speaker_model({**hparams, **modules}):
            raise ModelFolderError(
                "this model recognises words and does not tell speakers apart; open it with "
                "sb_alexa.inference.asr.TransducerASR (`sb-alexa transcribe`)"
            )
        super().__init__(modules, hparams, run_opts, freeze_params)
        self.verification: VerificationSettings | None = hparams.get("verification")

    @classmethod
    def _of_folder(cls, model: Model, folder: Path, run_opts: Mapping[str, Any] | None) -> Self:
        return cls.from_model(model, run_opts, verification=read_verification(folder))

    @classmethod
    def from_model(
        cls,
        model: Model,
        run_opts: Mapping[str, Any] | None = None,
        *,
        verification: VerificationSettings | None = None,
    ) -> Self:
        """Wrap a model that is open already.

        Arguments
        ---------
        model : Model
            From `read_model_folder`.
        run_opts : Mapping | None
            SpeechBrain's run options.
        verification : VerificationSettings | None
            From `read_verification`; without it scores are cosines and no threshold is known.

        Returns
        -------
        Self
            Ready to use.
        """
        hparams = {**model.hparams, "verification": verification}
        return cls(model.modules, hparams, run_opts)

    def embed(
        self, recording: Tensor | str | os.PathLike[str], *, max_seconds: float | None = None
    ) -> Tensor:
        """Embed one recording.

        Arguments
        ---------
        recording : Tensor or str or path-like
            Samples (N,) at the model's rate, or an audio file.
        max_seconds : float, optional
            Use only the beginning of a longer recording; memory grows with its length.

        Returns
        -------
        Tensor
            (E,) float32 on the CPU.

        Raises
        ------
        AudioError
            If the file cannot be read, or the recording is silent, too short or not finite.
        """
        if isinstance(recording, Tensor):
            path, samples = "", recording
        else:
            path, samples = os.fspath(recording), self.load_audio(recording)
        if samples.dim() != 1 or not samples.is_floating_point():
            raise ValueError(
                f"a recording is a floating point tensor (N,) of one channel, got {samples.dtype} "
                f"{tuple(samples.shape)}; average the channels, and divide 16-bit integers by 32768"
            )
        if max_seconds is not None:
            if not max_seconds > 0:
                raise ValueError(f"max_seconds must be > 0, or None to use all, got {max_seconds}")
            samples = samples[: round(max_seconds * self.sample_rate)]
        if reason := unusable(samples):
            raise AudioError(reason, path)
        try:
            with torch.no_grad(), self.inference_ctx:
                embedding = self.mods["speaker_encoder"](samples[None].float().to(self.device))[0]
        except ValueError as error:  # too short
            raise AudioError(str(error), path) from error
        return embedding.float().cpu()

    def compare(
        self, enrol: Tensor, test: Tensor, *, threshold: float | None = None
    ) -> Verification:
        """Compare two embeddings; it makes no difference which comes first.

        Arguments
        ---------
        enrol, test : Tensor
            (E,) from `embed`.
        threshold : float, optional
            The score from which on speakers are the same, in place of the folder's.

        Returns
        -------
        Verification
            Score and decision.

        Raises
        ------
        ValueError
            If an embedding is zero or not finite.
        """
        settings = self.verification
        embeddings = SpeakerEmbeddings(("enrol", "test"), torch.stack([enrol, test]))
        trials = [Trial(True, "enrol", "test")]
        cosine = score = score_trials(embeddings, trials).item()
        ratio = None
        if settings is not None:
            if settings.cohort is not None:
                normalized = score_trials(
                    embeddings, trials, cohort=settings.cohort, top_n=settings.top_n
                )
                score = normalized.item()
            if settings.calibration is not None:
                ratio = settings.calibration.log_likelihood_ratios([score]).item()
            if threshold is None:
                threshold = settings.threshold
        same = None if threshold is None else score >= threshold
        return Verification(score, cosine, ratio, same, threshold)

    def verify_files(
        self,
        enrol: str | os.PathLike[str],
        test: str | os.PathLike[str],
        *,
        threshold: float | None = None,
        max_seconds: float | None = None,
    ) -> Verification:
        """Compare two audio files; it makes no difference which comes first.

        Arguments
        ---------
        enrol, test : str or path-like
            Audio files.
        threshold : float, optional
            The score from which on speakers are the same, in place of the folder's.
        max_seconds : float, optional
            Use only the beginning of longer recordings.

        Returns
        -------
        Verification
            Score and decision.

        Raises
        ------
        AudioError
            As `embed`.
        """
        first, second = (self.embed(path, max_seconds=max_seconds) for path in (enrol, test))
        return self.compare(first, second, threshold=threshold)

    def forward(self, wavs: Tensor) -> Tensor:
        """Embed recordings (B, N) of one length: (B, E)."""
        with torch.no_grad(), self.inference_ctx:
            return self.mods["speaker_encoder"](wavs.to(self.device).float())
