"""A trained recogniser, opened from its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sb_alexa.inference.model_folder import ModelFolderError, is_multitalker
from sb_alexa.inference.streaming_batch import StreamingBatch
from sb_alexa.inference.transcription import Transcript, Update
from sb_alexa.inference.transducer_interface import TransducerInterface
from sb_alexa.streaming.session import StreamingSession
from sb_alexa.transducer.hypothesis import Hypothesis


class TransducerASR(TransducerInterface):
    """Speech recognition with a transducer, offline and streaming.

    The methods that `speechbrain.inference.EncoderDecoderASR` has too take and return the same.
    `mods` holds the modules, `hparams` everything in the YAML.

    Arguments
    ---------
    modules : dict
        `features`, `encoder`, `predictor`, `joiner` and, if trained, `ctc_head`.
    hparams : dict
        `sample_rate`, `search` and `word_pieces`, at least.
    run_opts : dict | None
        SpeechBrain's run options, for example ``{"device": "cuda:0"}``.

    Example
    -------
    ::

        asr = TransducerASR.from_hparams(source="results/mini/model")
        asr.transcribe_file("talk.wav")  # 'TURN ON THE LIGHT'
        for update in asr.transcribe_file_streaming("talk.wav", chunk_ms=160):
            print(update.audio_s, update.text)
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        hparams: Mapping[str, Any],
        run_opts: Mapping[str, Any] | None = None,
        freeze_params: bool = True,
    ) -> None:
        if is_multitalker(hparams):
            raise ModelFolderError(
                "this is a model for several talkers, with turn tokens and output channels; open "
                "it with sb_alexa.inference.multitalker.MultiTalkerASR (`sb-alexa transcribe` "
                "opens both kinds)"
            )
        super().__init__(modules, hparams, run_opts, freeze_params)

    def transcribe_file(self, path: str | os.PathLike[str]) -> str:
        """Transcribe a recording of any length.

        Arguments
        ---------
        path : str or path-like
            An audio file.

        Returns
        -------
        str
            Its text.
        """
        return self.recognize(self.load_audio(path)).text

    def recognize(self, samples: Tensor) -> Update:
        """Transcribe one recording, with times.

        Arguments
        ---------
        samples : Tensor
            (N,) at the model's sample rate.

        Returns
        -------
        Update
            All word pieces and words, with times and confidences.
        """
        if self._is_long(samples):
            session = self.streaming_session()
            first, last = session.push(samples), session.finish()
            tokens = first.tokens + last.tokens
            return Update(tokens, session.words, last.text, last.audio_s, is_final=True)
        return self._update(self._recognize_batch(samples[None], torch.ones(1))[0], len(samples))

    def transcribe_batch(self, wavs: Tensor, wav_lens: Tensor) -> tuple[list[str], list[list[int]]]:
        """Transcribe a batch; the result of a recording does not depend on the others or on
        padding.

        Arguments
        ---------
        wavs : Tensor
            (B, N) samples, padded on the right.
        wav_lens : Tensor
            (B,) relative lengths.

        Returns
        -------
        list of str
            Text of each recording.
        list of list of int
            Its labels.
        """
        tokens = [list(one.tokens) for one in self._recognize_batch(wavs, wav_lens)]
        texts = (self.hparams.word_pieces.decode(labels) for labels in tokens)
        # A piece may be a space alone; words are separated by one.
        return [" ".join(text.split()) for text in texts], tokens

    def forward(self, wavs: Tensor, wav_lens: Tensor) -> tuple[list[str], list[list[int]]]:
        """`transcribe_batch`."""
        return self.transcribe_batch(wavs, wav_lens)

    def transcribe_file_streaming(
        self, path: str | os.PathLike[str], chunk_ms: float = 160.0
    ) -> Iterator[Update]:
        """Transcribe a recording as if it arrived live.

        Arguments
        ---------
        path : str or path-like
            An audio file.
        chunk_ms : float
            Audio given to the model at a time, in milliseconds.

        Yields
        ------
        Update
            After each chunk and, with `is_final`, after the last.
        """
        yield from self._streamed(self.streaming_session(), path, chunk_ms)

    def streaming_session(self) -> StreamingSession:
        """Open a live stream.

        Returns
        -------
        StreamingSession
            Independent of all others; the weights are shared.
        """
        return StreamingSession(**self._parts())

    def streaming_batch(self, chunk_ms: float = 150.0) -> StreamingBatch:
        """Open a group of live streams that are recognised together.

        Arguments
        ---------
        chunk_ms : float
            Audio that a step advances a stream by, in milliseconds.

        Returns
        -------
        StreamingBatch
            Without streams yet.
        """
        return StreamingBatch(**self._parts(), chunk_ms=chunk_ms)

    def _update(self, hypothesis: Hypothesis, num_samples: int) -> Update:
        """Labels of a whole recording as words with times."""
        transcript = Transcript(self.hparams.word_pieces, self._seconds_per_frame())
        audio_s = num_samples / self.sample_rate
        return transcript.update([hypothesis], audio_s=audio_s, is_final=True)
