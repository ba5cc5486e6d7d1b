"""What all live sessions share: samples in, steps of the recogniser, updates out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from sb_alexa.inference.recognizer import Recognizer
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.sample_buffer import SampleBuffer

# A long push is processed in parts of this length, so that memory does not grow with it.
_LONGEST_PART_S = 2.0

U = TypeVar("U")


class RecognitionSession(ABC, Generic[U]):
    """Base of sessions, which recognise one stream of audio as it arrives, in pieces of any length.

    What a session makes of recognised labels is up to the derived class, see `_update`.

    Arguments
    ---------
    features : StreamingModule
        Front end, samples to frames.
    encoder : StreamingModule
        Frames to frames. An encoder with an attribute `chunk_frames` is given exactly that many
        frames at a time.
    search : GreedySearch | BeamSearch | ChannelSearch
        Encoder frames to labels.
    sample_rate : int
        Samples per second of the model.

    Raises
    ------
    ValueError
        If a module is in training mode.
    """

    def __init__(
        self,
        *,
        features: StreamingModule,
        encoder: StreamingModule,
        search: Any,
        sample_rate: int = 16000,
    ) -> None:
        self._recognizer = Recognizer(
            features=features, encoder=encoder, search=search, sample_rate=sample_rate
        )
        self._stream = SampleBuffer(like=features.zeros(0), sample_rate=sample_rate)
        with torch.inference_mode():
            self._state = self._recognizer.initial_state(1)

    def push(self, samples: Tensor | np.ndarray) -> U:
        """Take the next samples and recognise what they complete.

        Arguments
        ---------
        samples : Tensor | numpy.ndarray
            (N,) floating point in [-1, 1] at the model's sample rate; N may be 0.

        Returns
        -------
        Update | TurnUpdate
            What is new.

        Raises
        ------
        TypeError
            If the samples are not floating point numbers.
        ValueError
            If they are not one channel, a sample is NaN or infinite (the message says which), or
            the session is finished. Nothing of a refused push is taken: the session goes on as if
            it had not happened.
        """
        self._stream.append(samples)
        return self._update(self._recognize_steps(), self._stream.audio_s, is_final=False)

    def finish(self) -> U:
        """Recognise the rest, its last hop completed with zeros, and close the session.

        Returns
        -------
        Update | TurnUpdate
            What is new; `is_final` is True.

        Raises
        ------
        ValueError
            If the session is finished already.
        """
        self._stream.close()
        decoded = self._recognize_steps()
        samples = self._stream.take_all()[None]
        num_samples = torch.tensor([samples.shape[1]], device=samples.device)
        with torch.inference_mode():
            rest = self._recognizer.finish(samples, num_samples, self._state)
        return self._update(decoded + rest.hypotheses, self._stream.audio_s, is_final=True)

    @abstractmethod
    def _update(self, decoded: list[Any], audio_s: float, is_final: bool) -> U:
        """Make an update of what the search found, in order, and the audio so far in seconds."""

    def _recognize_steps(self) -> list[Any]:
        decoded = []
        step = self._recognizer.step_samples
        steps_at_once = max(int(_LONGEST_PART_S * self._recognizer.sample_rate) // step, 1)
        with torch.inference_mode():
            while num_steps := min(self._stream.num_buffered // step, steps_at_once):
                samples = self._stream.take(num_steps * step)[None]
                found, self._state = self._recognizer.advance(samples, self._state)
                decoded += found.hypotheses
        return decoded
