"""A trained recogniser of several talkers, opened from its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sb_alexa.inference.model_folder import ModelFolderError, is_multitalker
from sb_alexa.inference.transducer_interface import TransducerInterface
from sb_alexa.inference.turn_session import TurnSession
from sb_alexa.inference.turn_transcription import TurnTranscript, TurnUpdate, events_in_order
from sb_alexa.lengths import absolute_lengths
from sb_alexa.multitalker.turn_events import turns_from_events
from sb_alexa.transducer.channel_search import ChannelHypotheses, ChannelSearch
from sb_alexa.turn import Turn


class MultiTalkerASR(TransducerInterface):
    """Recognition and segmentation of several talkers, who may overlap, offline and streaming.

    `mods` holds the modules, `hparams` everything in the YAML.

    Arguments
    ---------
    modules : dict
        `features`, `encoder` (a `SeparationEncoder`), `predictor`, `joiner` and, if trained,
        `ctc_head`.
    hparams : dict
        `sample_rate`, `search` (a `ChannelSearch`), `turn_tokens` and `word_pieces`, at least.
    run_opts : dict | None
        SpeechBrain's run options, for example ``{"device": "cuda:0"}``.

    Raises
    ------
    ModelFolderError
        If a part is missing, it is a model for a single talker, or encoder and search differ in
        their channels.

    Example
    -------
    ::

        asr = MultiTalkerASR.from_hparams(source="results/sts/model")
        for turn in asr.transcribe_file("meeting.wav"):
            print(turn.speaker, turn.start_s, turn.end_s, turn.text)
        for update in asr.transcribe_file_streaming("meeting.wav", chunk_ms=160):
            for event in update.events:
                print(event)
    """

    HPARAMS_NEEDED = ["sample_rate", "search", "turn_tokens", "word_pieces"]

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        hparams: Mapping[str, Any],
        run_opts: Mapping[str, Any] | None = None,
        freeze_params: bool = True,
    ) -> None:
        if not is_multitalker(hparams):
            raise ModelFolderError(
                "this is a model for a single talker, without turn tokens and output channels; "
                "open it with sb_alexa.inference.asr.TransducerASR (`sb-alexa transcribe` opens "
                "both kinds)"
            )
        super().__init__(modules, hparams, run_opts, freeze_params)
        channels = [
            getattr(part, "num_channels", None) for part in (modules["encoder"], hparams["search"])
        ]
        if channels[0] is None or channels[0] != channels[1]:
            raise ModelFolderError(
                "encoder and search of a model for several talkers are a SeparationEncoder and a "
                f"ChannelSearch with equally many channels, got {type(modules['encoder']).__name__}"
                f" with num_channels={channels[0]} and {type(hparams['search']).__name__} with "
                f"num_channels={channels[1]}"
            )

    @property
    def num_channels(self) -> int:
        """Output channels: how many people may talk at once."""
        return self.hparams.search.num_channels

    def transcribe_file(self, path: str | os.PathLike[str]) -> list[Turn]:
        """Find the turns of a recording of any length.

        Arguments
        ---------
        path : str or path-like
            An audio file.

        Returns
        -------
        list of Turn
            By start, with word times. Who speaks is not known: the speaker of a turn is its output
            channel, such as "channel 1", which different people share.
        """
        return turns_from_events(self.recognize(self.load_audio(path)).events)

    def recognize(self, samples: Tensor) -> TurnUpdate:
        """Find the events of one recording.

        Arguments
        ---------
        samples : Tensor
            (N,) at the model's sample rate.

        Returns
        -------
        TurnUpdate
            All events in order.
        """
        if self._is_long(samples):
            session = self.turn_session()
            events = session.push(samples).events
            last = session.finish()
            return TurnUpdate(events_in_order(events + last.events), last.audio_s, is_final=True)
        decoded = self._recognize_batch(samples[None], torch.ones(1))[0]
        return self._update(decoded, len(samples))

    def transcribe_batch(self, wavs: Tensor, wav_lens: Tensor) -> list[list[Turn]]:
        """Find the turns of a batch; the result of a recording does not depend on the others or on
        padding.

        Arguments
        ---------
        wavs : Tensor
            (B, N) samples, padded on the right.
        wav_lens : Tensor
            (B,) relative lengths.

        Returns
        -------
        list of list of Turn
            As `transcribe_file` gives them, for each recording.
        """
        found = self._recognize_batch(wavs, wav_lens)
        num_samples = absolute_lengths(wav_lens, wavs.shape[1]).tolist()
        return [
            turns_from_events(self._update(decoded, count).events)
            for decoded, count in zip(found, num_samples, strict=True)
        ]

    def forward(self, wavs: Tensor, wav_lens: Tensor) -> list[list[Turn]]:
        """`transcribe_batch`."""
        return self.transcribe_batch(wavs, wav_lens)

    def transcribe_file_streaming(
        self, path: str | os.PathLike[str], chunk_ms: float = 160.0
    ) -> Iterator[TurnUpdate]:
        """Follow the turns of a recording as if it arrived live.

        Arguments
        ---------
        path : str or path-like
            An audio file.
        chunk_ms : float
            Audio given to the model at a time, in milliseconds.

        Yields
        ------
        TurnUpdate
            After each chunk and, with `is_final`, after the last.
        """
        yield from self._streamed(self.turn_session(), path, chunk_ms)

    def turn_session(self) -> TurnSession:
        """Open a live stream.

        Returns
        -------
        TurnSession
            Independent of all others; the weights are shared.
        """
        return TurnSession(**self._parts(), tokens=self.hparams.turn_tokens)

    def _update(self, decoded: ChannelHypotheses, num_samples: int) -> TurnUpdate:
        """Labels of a whole recording as events."""
        transcript = TurnTranscript(
            self.hparams.word_pieces,
            self.hparams.turn_tokens,
            num_channels=self.num_channels,
            seconds_per_frame=self._seconds_per_frame(),
        )
        audio_s = num_samples / self.sample_rate
        return transcript.update([decoded], audio_s=audio_s, is_final=True)

    def _label_search(self) -> Any:
        return self.hparams.search.search

    def _search_with(self, label_search: Any) -> None:
        self.hparams.search = ChannelSearch(search=label_search, num_channels=self.num_channels)
