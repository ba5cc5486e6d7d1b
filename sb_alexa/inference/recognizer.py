"""Waveform to labels: front end, encoder and search as one streaming step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sb_alexa.lengths import length_mask
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class RecognizerState(State):
    """Where each stream stands.

    Arguments
    ---------
    features, encoder, search : State
        Of the parts.
    num_owed : Tensor
        (B,) encoder frames still to be dropped: the first outputs of an encoder with look-ahead
        precede the audio.
    """

    features: Any
    encoder: Any
    search: Any
    num_owed: Tensor


@dataclass(frozen=True)
class Recognition:
    """The outcome of one step.

    Arguments
    ---------
    hypotheses : list of Hypothesis
        New labels of each stream.
    encoder_out : Tensor
        (B, T, C); (B, T, N, C) of an encoder with N output channels.
    num_frames : Tensor
        (B,) valid frames of `encoder_out`.
    """

    hypotheses: list[Any]
    encoder_out: Tensor
    num_frames: Tensor


class Recognizer:
    """A front end, an encoder and a search that advance together.

    Arguments
    ---------
    features : StreamingModule
        (B, N) samples to (B, T, C) frames, without look-ahead.
    encoder : StreamingModule
        Frames to frames. One with an attribute `chunk_frames` is given exactly that many frames at
        a time.
    search : GreedySearch | BeamSearch | ChannelSearch
        Frames to labels, over several calls.
    sample_rate : int
        Samples per second.

    Raises
    ------
    ValueError
        If a module is in training mode, or the front end looks ahead.
    """

    def __init__(
        self,
        *,
        features: StreamingModule,
        encoder: StreamingModule,
        search: Any,
        sample_rate: int = 16000,
    ) -> None:
        if features.training or encoder.training:
            raise ValueError(
                "features and encoder are in training mode, where dropout and batch statistics "
                "are active; call .eval() on both before recognising"
            )
        if features.geometry.look_ahead:
            raise ValueError(
                f"the front end looks {features.geometry.look_ahead} samples ahead; frame causally "
                "(LogMel does) and put the look-ahead into the encoder"
            )
        self.features = features
        self.encoder = encoder
        self.search = search
        self.sample_rate = sample_rate
        self.frame_samples = features.geometry.hop * encoder.geometry.hop
        chunk_frames = getattr(encoder, "chunk_frames", None)
        self.step_frames: int = chunk_frames or encoder.geometry.hop
        self.step_samples = features.geometry.hop * self.step_frames
        self._steps_at_once = chunk_frames is None

    @property
    def seconds_per_frame(self) -> float:
        """Hop of the encoder's output."""
        return self.frame_samples / self.sample_rate

    def initial_state(self, batch_size: int) -> RecognizerState:
        """The state before the first sample.

        Arguments
        ---------
        batch_size : int
            Number of streams.

        Returns
        -------
        RecognizerState
            On the device of the modules.
        """
        geometry = self.encoder.geometry
        like = self.features.zeros(batch_size)
        return RecognizerState(
            features=self.features.initial_state(batch_size),
            encoder=self.encoder.initial_state(batch_size),
            search=self.search.initial_state(batch_size),
            num_owed=torch.full_like(like, geometry.look_ahead // geometry.hop, dtype=torch.long),
        )

    def advance(
        self, samples: Tensor, state: RecognizerState
    ) -> tuple[Recognition, RecognizerState]:
        """Process whole steps of every stream.

        Arguments
        ---------
        samples : Tensor
            (B, N) with N a multiple of `step_samples`.
        state : RecognizerState
            From `initial_state` or the previous call.

        Returns
        -------
        Recognition
            What is new.
        RecognizerState
            For the next call.
        """
        frames, features = self.features.forward_chunk(samples, state.features)
        return self._recognize(frames, None, features, state)

    def finish(self, samples: Tensor, num_samples: Tensor, state: RecognizerState) -> Recognition:
        """Process the rest of streams that end, as the offline pass would: padded with zeros.

        Arguments
        ---------
        samples : Tensor
            (B, N), any N.
        num_samples : Tensor
            (B,) valid samples of each row, 0 included.
        state : RecognizerState
            From `initial_state` or `advance`.

        Returns
        -------
        Recognition
            What is new.
        """
        front, geometry = self.features.geometry, self.encoder.geometry
        samples = samples * length_mask(num_samples, samples.shape[1])
        samples = _pad_to_multiple(samples, front.hop)
        frames, features = self.features.forward_chunk(samples, state.features)
        num_frames = self.features.num_outputs(num_samples)
        # What is padded from here on is zero *frames*, which silent samples do not give.
        frames = frames * length_mask(num_frames, frames.shape[1])[..., None]
        num_padded = self.encoder.num_outputs(num_frames) * geometry.hop + geometry.look_ahead
        missing = int(num_padded.max()) - frames.shape[1]
        if missing > 0:
            frames = torch.nn.functional.pad(frames, (0, 0, 0, missing))
        frames = _pad_to_multiple(frames, self.step_frames)
        found, after = self._recognize(frames, num_padded // geometry.hop, features, state)
        # A beam search has kept back the labels on which its hypotheses differ.
        owed = self.search.finish(after.search)
        hypotheses = [new + rest for new, rest in zip(found.hypotheses, owed, strict=True)]
        return replace(found, hypotheses=hypotheses)

    def _recognize(
        self, frames: Tensor, num_out: Tensor | None, features: Any, state: RecognizerState
    ) -> tuple[Recognition, RecognizerState]:
        outputs, encoder = [], state.encoder
        pieces = (frames,) if self._steps_at_once else frames.split(self.step_frames, dim=1)
        for piece in pieces:
            y, encoder = self.encoder.forward_chunk(piece, encoder)
            outputs.append(y)
        encoder_out = torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]  # (B, T, C)
        if num_out is None:
            num_out = torch.full_like(state.num_owed, encoder_out.shape[1])
        num_owed = state.num_owed
        if self.encoder.geometry.look_ahead:
            dropped = torch.minimum(num_owed, num_out)
            encoder_out = _shift_left(encoder_out, dropped)
            num_out, num_owed = num_out - dropped, num_owed - dropped
        hypotheses, search = self.search.forward_chunk(encoder_out, state.search, num_out)
        after = RecognizerState(features, encoder, search, num_owed)
        return Recognition(hypotheses, encoder_out, num_out), after


def _pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Append zeros along dimension 1."""
    missing = -x.shape[1] % multiple
    if not missing:
        return x
    return torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], dim=1)


def _shift_left(x: Tensor, num_steps: Tensor) -> Tensor:
    """Drop the first steps of each row of (B, T, ...) and repeat its last step at the end."""
    steps = torch.arange(x.shape[1], device=x.device) + num_steps[:, None]  # (B, T)
    steps = steps.clamp(max=max(x.shape[1] - 1, 0))
    return x.gather(1, steps.view(*steps.shape, *[1] * (x.dim() - 2)).expand_as(x))
