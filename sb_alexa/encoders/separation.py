"""Encoder of a mixture of talkers: one stream of frames in, one for each output channel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State, cat, row_range

_FIRST = re.compile(r"^separation\.0\.")


@dataclass(frozen=True)
class SeparationState(State):
    """The states of the parts.

    Arguments
    ---------
    mixture : State
        Of the mixture encoder.
    separation, recognition : tuple of State
        One for each channel.
    """

    mixture: Any
    separation: tuple[Any, ...]
    recognition: tuple[Any, ...]


class SeparationEncoder(StreamingModule[SeparationState]):
    """``h_n = RecEnc(SepEnc_n(MixEnc(x)))``: overlapping talkers come out on different channels.

    The cost does not grow with the number of people in the room: two channels are enough as long as
    no more than two talk at once. With one channel it is the encoder of a single-talker recogniser
    made of the same blocks.

    Arguments
    ---------
    mixture : StreamingModule
        MixEnc, sees the mixture.
    separation : sequence of StreamingModule
        SepEnc_1 .. SepEnc_N, one for each channel, of one frame rate.
    recognition : StreamingModule
        RecEnc, shared by the channels, which it processes as one batch.

    Shape
    -----
    input : (B, T, *mixture.input_features)
    output : (B, T', N, C), C of `recognition.output_size`

    Streaming
    ---------
    Look-ahead and hop are composed from the parts.

    Raises
    ------
    ValueError
        If there is no channel, or channels differ in their frame rate or look-ahead.

    Reference
    ---------
    Sklyar et al., "Separator-Transducer-Segmenter", Interspeech 2022, arXiv 2205.05199: all parts
    are 2 LSTM layers of 1024 cells with layer norm.

    Example
    -------
    >>> from sb_alexa.encoders.rnn import LSTMEncoder
    >>> def part(input_size):
    ...     return LSTMEncoder(input_size=input_size, num_layers=1, hidden_size=8,
    ...                        projection_size=None, layer_norm=True)
    >>> encoder = SeparationEncoder(
    ...     mixture=part(6), separation=[part(8), part(8)], recognition=part(8)
    ... )
    >>> encoder(torch.zeros(3, 7, 6)).shape, encoder.num_channels
    (torch.Size([3, 7, 2, 8]), 2)
    """  # fmt: skip

    def __init__(
        self,
        *,
        mixture: StreamingModule[Any],
        separation: Sequence[StreamingModule[Any]],
        recognition: StreamingModule[Any],
    ) -> None:
        super().__init__()
        if not separation:
            raise ValueError("separation needs one module for each output channel, got none")
        first = separation[0].geometry
        for number, one in enumerate(separation):
            if (one.geometry.hop, one.geometry.look_ahead) != (first.hop, first.look_ahead):
                raise ValueError(
                    f"separation[{number}] has hop {one.geometry.hop} and look-ahead "
                    f"{one.geometry.look_ahead}, separation[0] has {first.hop} and "
                    f"{first.look_ahead}; all channels must run at one rate"
                )
        self.mixture = mixture
        self.separation = nn.ModuleList(separation)
        self.recognition = recognition
        self.input_features = mixture.input_features
        self.geometry = mixture.geometry.then(first).then(recognition.geometry)
        self.output_size: int = recognition.output_size  # type: ignore[assignment]

    @property
    def num_channels(self) -> int:
        """N."""
        return len(self.separation)

    def initial_state(self, batch_size: int) -> SeparationState:
        return SeparationState(
            mixture=self.mixture.initial_state(batch_size),
            separation=tuple(one.initial_state(batch_size) for one in self._separation()),
            recognition=tuple(
                self.recognition.initial_state(batch_size) for _ in range(self.num_channels)
            ),
        )

    def forward_chunk(
        self, x: Tensor, state: SeparationState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, SeparationState]:
        self.check_chunk(x, state)
        batch, channels = x.shape[0], self.num_channels
        shared, mixture = self.mixture.forward_chunk(x, state.mixture, num_steps)
        num_steps = None if num_steps is None else self.mixture.num_outputs(num_steps)
        separated, separation = [], []
        for one, before in zip(self._separation(), state.separation, strict=True):
            y, after = one.forward_chunk(shared, before, num_steps)
            separated.append(y)
            separation.append(after)
        num_steps = None if num_steps is None else self._separation()[0].num_outputs(num_steps)
        # As one batch: the weights are read once for all channels.
        together, recognition = self.recognition.forward_chunk(
            torch.cat(separated),
            cat(state.recognition),
            None if num_steps is None else num_steps.repeat(channels),
        )
        y = together.unflatten(0, (channels, batch)).permute(1, 2, 0, 3)  # (B, T, N, C)
        return y, SeparationState(
            mixture,
            tuple(separation),
            tuple(row_range(recognition, number * batch, batch) for number in range(channels)),
        )

    def adapted_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a model with one channel for one with more: each starts as a copy of it.

        Arguments
        ---------
        tensors : mapping of str to Tensor
            By names of this module's `state_dict`; unchanged if they hold several channels.

        Returns
        -------
        dict
            With weights for every channel.
        """
        adapted = dict(tensors)
        if any(name.startswith("separation.1.") for name in tensors):
            return adapted
        for name, tensor in tensors.items():
            for number in range(1, self.num_channels if _FIRST.match(name) else 1):
                adapted[_FIRST.sub(f"separation.{number}.", name)] = tensor
        return adapted

    def _separation(self) -> list[StreamingModule[Any]]:
        return list(self.separation)  # type: ignore[arg-type]
