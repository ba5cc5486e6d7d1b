"""What trained transducers share, whether one talker or several speak: encoding and searching."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.audio_sources import chunks
from sb_alexa.inference.model_folder import (
    WORD_PIECES,
    Model,
    ModelFolderError,
    is_speaker_model,
)
from sb_alexa.inference.model_interface import ModelInterface
from sb_alexa.inference.recognition_session import RecognitionSession
from sb_alexa.lengths import absolute_lengths
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.biasing import Phrase

if TYPE_CHECKING:
    from typing_extensions import Self

# Longer recordings go through a session: the result is the same, and memory stays constant.
_LONGEST_WHOLE_S = 60.0

U = TypeVar("U")


class TransducerInterface(ModelInterface):
    """Base of the interfaces of trained transducers; open a folder with `TransducerASR` or, where
    several people talk, `MultiTalkerASR`.

    Arguments
    ---------
    modules : dict
        `features`, `encoder`, `predictor`, `joiner` and, if trained, `ctc_head`.
    hparams : dict
        What `HPARAMS_NEEDED` names, at least.
    run_opts : dict | None
        SpeechBrain's run options, for example ``{"device": "cuda:0"}``.

    Raises
    ------
    ModelFolderError
        If a part is missing.
    """

    HPARAMS_NEEDED = ["sample_rate", "search", "word_pieces"]
    MODULES_NEEDED = ["features", "encoder"]
    OPTIONAL_FILES = (WORD_PIECES,)

    @classmethod
    def from_model(cls, model: Model, run_opts: Mapping[str, Any] | None = None) -> Self:
        """Wrap a model that is open already.

        Arguments
        ---------
        model : Model
            From `read_model_folder`.
        run_opts : Mapping | None
            SpeechBrain's run options.

        Returns
        -------
        Self
            Ready to use.

        Raises
        ------
        ModelFolderError
            If a part is missing, or it is a model of speakers.
        """
        # Before anything else is said about what such a model lacks.
        if is_speaker_model(model.hparams):
            raise ModelFolderError(
                "this model tells speakers apart and recognises no words; open it with "
                "sb_alexa.inference.speaker_recognition.SpeakerRecognition (`sb-alexa verify`)"
            )
        return super().from_model(model, run_opts)

    def encode_batch(self, wavs: Tensor, wav_lens: Tensor) -> Tensor:
        """Run the front end and the encoder.

        Arguments
        ---------
        wavs : Tensor
            (B, N) samples, padded on the right.
        wav_lens : Tensor
            (B,) relative lengths.

        Returns
        -------
        Tensor
            (B, T, C), or (B, T, N, C) where several talk; zero after the end of each recording.
        """
        return self._encode(wavs, wav_lens)[0]

    def use_beam_search(
        self,
        beam_size: int = 4,
        *,
        phrases: Sequence[str] = (),
        phrase_boost: float = 1.5,
        **options: Any,
    ) -> None:
        """Search with several hypotheses from now on, offline and in sessions opened later.

        Arguments
        ---------
        beam_size : int
            Hypotheses of each stream, at least 2.
        phrases : sequence of str
            Texts to favour, such as names; written like the training text.
        phrase_boost : float
            Nats that each word piece of a phrase is worth.
        **options
            Of `sb_alexa.transducer.beam.BeamSearch`, such as a language model and its weight. The
            bound on labels for each frame is not taken over from a greedy search, for which it
            means less.

        Raises
        ------
        ValueError
            If an option is out of range, or a phrase is empty or has no word pieces.
        """
        search, word_pieces = self._label_search(), self.hparams.word_pieces
        beam = BeamSearch(
            predictor=search.predictor,
            joiner=search.joiner,
            blank_index=search.blank_index,
            beam_size=beam_size,
            phrases=[Phrase(_pieces(text, word_pieces), phrase_boost) for text in phrases],
            **options,
        )
        self._search_with(beam)

    def _label_search(self) -> Any:
        """The search over one sequence of frames."""
        return self.hparams.search

    def _search_with(self, label_search: Any) -> None:
        """Search every sequence of frames so from now on."""
        self.hparams.search = label_search

    def _is_long(self, samples: Tensor) -> bool:
        """Whether a recording goes through a session."""
        return len(samples) > _LONGEST_WHOLE_S * self.sample_rate

    def _streamed(
        self, session: RecognitionSession[U], path: str | os.PathLike[str], chunk_ms: float
    ) -> Iterator[U]:
        """The updates of a recording that arrives in chunks."""
        for chunk in chunks(self.load_audio(path), round(chunk_ms * self.sample_rate / 1000)):
            yield session.push(chunk)
        yield session.finish()

    def _parts(self) -> dict[str, Any]:
        return {
            "features": self.mods["features"],
            "encoder": self.mods["encoder"],
            "search": self.hparams.search,
            "word_pieces": self.hparams.word_pieces,
            "sample_rate": self.sample_rate,
        }

    def _seconds_per_frame(self) -> float:
        hop = self.mods["features"].geometry.hop * self.mods["encoder"].geometry.hop
        return hop / self.sample_rate

    def _features(self, wavs: Tensor, wav_lens: Tensor) -> tuple[Tensor, Tensor]:
        _check_batch(wavs, wav_lens)
        num_samples = absolute_lengths(wav_lens, wavs.shape[1]).to(self.device)
        features = self.mods["features"]
        with torch.no_grad(), self.inference_ctx:
            frames = features.forward_counted(wavs.to(self.device).float(), num_samples)
        return frames, features.num_outputs(num_samples)

    def _encode(self, wavs: Tensor, wav_lens: Tensor) -> tuple[Tensor, Tensor]:
        frames, num_frames = self._features(wavs, wav_lens)
        encoder = self.mods["encoder"]
        with torch.no_grad(), self.inference_ctx:
            encoder_out = encoder.forward_counted(frames, num_frames)
        return encoder_out, encoder.num_outputs(num_frames)

    def _recognize_batch(self, wavs: Tensor, wav_lens: Tensor) -> list[Any]:
        encoder_out, num_frames = self._encode(wavs, wav_lens)
        with torch.no_grad(), self.inference_ctx:
            return self.hparams.search(encoder_out, num_frames)


def _pieces(text: str, word_pieces: WordPieces) -> tuple[int, ...]:
    """The labels of a phrase."""
    tokens = tuple(word_pieces.encode(text))
    if not tokens or word_pieces.decode(tokens) != text:
        raise ValueError(
            f"the phrase {text!r} cannot be written with the word pieces of this model, which "
            f"make {word_pieces.decode(tokens)!r} of it; write it like the training text"
        )
    return tokens


def _check_batch(wavs: Tensor, wav_lens: Tensor) -> None:
    if wavs.dim() != 2 or not wavs.is_floating_point():
        raise ValueError(
            f"wavs is a floating point tensor (B, N) of one channel each, got {wavs.dtype} "
            f"{tuple(wavs.shape)}; average the channels, and divide 16-bit integers by 32768"
        )
    if wav_lens.shape != wavs.shape[:1]:
        raise ValueError(
            f"wav_lens holds a relative length for each of the {wavs.shape[0]} recordings, "
            f"got shape {tuple(wav_lens.shape)}"
        )
    finite = wavs.isfinite()
    if not bool(finite.all()):
        row, sample = (~finite).nonzero()[0].tolist()
        raise ValueError(
            f"sample {sample} of recording {row} of the batch is {wavs[row, sample].item()}; "
            "replace what is not finite (0.0 is silence)"
        )
