"""The one interface of everything that streams: front ends, layers, encoders and predictors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from sb_alexa.lengths import absolute_lengths, length_mask
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.state import num_rows

S = TypeVar("S")


@dataclass
class StreamingContext:
    """What SpeechBrain's streaming interfaces carry between chunks: the state after the last one.

    Arguments
    ---------
    state : State | None
        None before the first chunk, whose batch size decides the number of rows.
    """

    state: Any = None


class StreamingModule(nn.Module, ABC, Generic[S]):
    """A module that processes its input in chunks with an explicit, immutable state.

    A subclass sets `geometry` and `input_features` and writes `initial_state` and `forward_chunk`;
    the whole-utterance pass is the same code run from a fresh state, so the two cannot drift apart.

    Attributes
    ----------
    geometry : FrameGeometry
        Input steps per output step, receptive field and look-ahead.
    input_features : tuple of int
        Shape of one input step: ``()`` for samples and tokens, ``(C,)`` for frames.

    Shape
    -----
    input : (B, N, *input_features)
    output : (B, ceil(N / geometry.hop), ...)
    """

    geometry: FrameGeometry = FrameGeometry()
    input_features: tuple[int, ...] = ()

    @abstractmethod
    def initial_state(self, batch_size: int) -> S:
        """The state before the first chunk.

        Arguments
        ---------
        batch_size : int
            Number of rows (streams).

        Returns
        -------
        State
            On the module's device, in the module's precision.
        """

    @abstractmethod
    def forward_chunk(
        self, x: Tensor, state: S, num_steps: Tensor | None = None
    ) -> tuple[Tensor, S]:
        """Process the next chunk of every row.

        Arguments
        ---------
        x : Tensor
            (B, n, *input_features); n is a multiple of `geometry.hop` and may be 0.
        state : State
            What `initial_state` or the previous chunk returned; never changed in place.
        num_steps : Tensor | None
            (B,) valid input steps of each row of this chunk. Only batch statistics look at it: a
            causal module needs no mask. None means all.

        Returns
        -------
        Tensor
            (B, n / geometry.hop, ...).
        State
            The state for the next chunk.
        """

    def finish(self, state: S) -> Tensor:
        """The outputs still owed after the last chunk: none for a causal module.

        A module with look-ahead is flushed with `geometry.look_ahead` zero steps.

        Arguments
        ---------
        state : State
            The state after the last chunk.

        Returns
        -------
        Tensor
            (B, look_ahead / hop, ...).
        """
        zeros = self.zeros(num_rows(state), self.geometry.look_ahead, *self.input_features)
        return self.forward_chunk(zeros, state)[0]

    def forward(
        self,
        x: Tensor,
        wav_lens: Tensor | None = None,
        pad_idx: int = 0,
        dynchunktrain_config: Any = None,
    ) -> Tensor:
        """Process whole utterances: one chunk from a fresh state.

        Arguments
        ---------
        x : Tensor
            (B, N, *input_features), padded on the right; the last hop is completed with zeros.
        wav_lens : Tensor | None
            (B,) relative lengths. The padding never reaches a valid output and leaves no trace in
            batch statistics.
        pad_idx : int
            Ignored; part of SpeechBrain's encoder signature.
        dynchunktrain_config : object
            Ignored: a causal module needs no chunked training.

        Returns
        -------
        Tensor
            (B, ceil(N / hop), ...), zero after the end of each row.
        """
        num_steps = None if wav_lens is None else absolute_lengths(wav_lens, x.shape[1])
        return self.forward_counted(x, num_steps)

    def forward_counted(self, x: Tensor, num_steps: Tensor | None = None) -> Tensor:
        """`forward` with absolute instead of relative lengths.

        Arguments
        ---------
        x : Tensor
            (B, N, *input_features).
        num_steps : Tensor | None
            (B,) valid input steps.

        Returns
        -------
        Tensor
            (B, ceil(N / hop), ...), zero after the end of each row.
        """
        if num_steps is not None:
            x = zero_after(x, num_steps)
        padding = self.geometry.padding(x.shape[1])
        if padding:
            x = torch.cat([x, x.new_zeros(x.shape[0], padding, *x.shape[2:])], dim=1)
        state = self.initial_state(x.shape[0])
        y, state = self.forward_chunk(x, state, num_steps)
        if self.geometry.look_ahead:
            owed = self.finish(state)
            y = torch.cat([y, owed], dim=1)[:, owed.shape[1] :]
        if num_steps is not None:
            y = zero_after(y, self.num_outputs(num_steps))
        return y

    def num_outputs(self, num_steps: Tensor) -> Tensor:
        """(B,) output steps for (B,) input steps."""
        return torch.div(
            num_steps + self.geometry.hop - 1, self.geometry.hop, rounding_mode="floor"
        )

    def zeros(self, *shape: int) -> Tensor:
        """A zero tensor on the module's device and in its precision."""
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point():
                return torch.zeros(shape, device=tensor.device, dtype=tensor.dtype)
        return torch.zeros(shape)

    def check_chunk(self, x: Tensor, state: Any = None) -> None:
        """Refuse a chunk of wrong features, incomplete hops or other rows than the state's."""
        expected = len(self.input_features) + 2
        if x.dim() != expected or tuple(x.shape[2:]) != self.input_features:
            shape = ", ".join(["B", "N", *map(str, self.input_features)])
            raise ValueError(
                f"{type(self).__name__} takes input of shape ({shape}), got {tuple(x.shape)}"
            )
        if x.shape[1] % self.geometry.hop:
            raise ValueError(
                f"{type(self).__name__} takes chunks of whole hops of {self.geometry.hop} steps, "
                f"got {x.shape[1]}\n"
                f"  wrong:  module.forward_chunk(audio[:, :{x.shape[1]}], state)\n"
                f"  right:  StreamingSession(...).push(audio), which buffers the remainder"
            )
        if state is not None and num_rows(state) != x.shape[0]:
            raise ValueError(
                f"{type(self).__name__} got a chunk of {x.shape[0]} rows and a state of "
                f"{num_rows(state)}; open the stream with initial_state({x.shape[0]}), or match "
                "the state's rows with rows, cat or where of sb_alexa.streaming.state"
            )

    def make_streaming_context(self, dynchunktrain_config: Any = None) -> StreamingContext:
        """SpeechBrain's way to open a stream; any chunk size gives the same result."""
        return StreamingContext()

    def forward_streaming(self, x: Tensor, context: StreamingContext) -> Tensor:
        """SpeechBrain's way to process a chunk: the context is updated.

        Arguments
        ---------
        x : Tensor
            (B, n, *input_features).
        context : StreamingContext
            From `make_streaming_context`.

        Returns
        -------
        Tensor
            (B, n / geometry.hop, ...).
        """
        if context.state is None:
            context.state = self.initial_state(x.shape[0])
        y, context.state = self.forward_chunk(x, context.state)
        return y


def zero_after(x: Tensor, num_steps: Tensor) -> Tensor:
    """Zeros behind the end of each row.

    Arguments
    ---------
    x : Tensor
        (B, N, ...).
    num_steps : Tensor
        (B,) valid steps.

    Returns
    -------
    Tensor
        (B, N, ...).
    """
    mask = length_mask(num_steps, x.shape[1])
    return x.masked_fill(~mask.view(*mask.shape, *[1] * (x.dim() - 2)), 0)
