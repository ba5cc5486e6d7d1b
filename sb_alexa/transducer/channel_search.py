"""Search over the output channels of a mixture, each a stream of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sb_alexa.streaming.state import State, cat, num_rows, row_range
from sb_alexa.transducer.hypothesis import Hypothesis


@dataclass(frozen=True)
class ChannelSearchState(State):
    """`channels`: for each channel the state of the search, of B rows."""

    channels: tuple[Any, ...]


@dataclass(frozen=True)
class ChannelHypotheses:
    """What was found on each channel of a mixture.

    Arguments
    ---------
    channels : tuple of Hypothesis
        In the order of the encoder's channels.

    Example
    -------
    >>> first = ChannelHypotheses((Hypothesis((7,), (0,), (0.0,)), Hypothesis()))
    >>> (first + first).channels[0].tokens
    (7, 7)
    """

    channels: tuple[Hypothesis, ...]

    def __add__(self, later: ChannelHypotheses) -> ChannelHypotheses:
        """These followed by those of the next chunk."""
        pairs = zip(self.channels, later.channels, strict=True)
        return ChannelHypotheses(tuple(one + other for one, other in pairs))


class ChannelSearch:
    """Let a search decode every channel independently, all in one batch.

    Arguments
    ---------
    search : GreedySearch | BeamSearch
        For one channel.
    num_channels : int
        N.

    Shape
    -----
    input : (B, T, N, C) of a `sb_alexa.encoders.separation.SeparationEncoder`
    output : B times `ChannelHypotheses`

    Raises
    ------
    ValueError
        If there is no channel, or an input has another number of them.

    Example
    -------
    >>> from sb_alexa.transducer.greedy import GreedySearch
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> from sb_alexa.transducer.stateless_predictor import StatelessPredictor
    >>> predictor = StatelessPredictor(num_labels=4, embedding_size=3).eval()
    >>> joiner = Joiner(encoder_size=3, predictor_size=3, num_labels=4).eval()
    >>> search = ChannelSearch(
    ...     search=GreedySearch(predictor=predictor, joiner=joiner), num_channels=2
    ... )
    >>> len(search(torch.zeros(1, 5, 2, 3))[0].channels)
    2
    """

    def __init__(self, *, search: Any, num_channels: int = 2) -> None:
        if num_channels < 1:
            raise ValueError(f"num_channels must be >= 1, got {num_channels}")
        self.search = search
        self.num_channels = num_channels

    def initial_state(self, batch_size: int) -> ChannelSearchState:
        """The state before the first frame."""
        return ChannelSearchState(
            tuple(self.search.initial_state(batch_size) for _ in range(self.num_channels))
        )

    def forward_chunk(
        self, encoder_out: Tensor, state: ChannelSearchState, num_frames: Tensor | None = None
    ) -> tuple[list[ChannelHypotheses], ChannelSearchState]:
        """Search the next frames of every channel of every stream.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, N, C).
        state : ChannelSearchState
            From `initial_state` or the previous chunk.
        num_frames : Tensor | None
            (B,) valid frames; None means all.

        Returns
        -------
        list of ChannelHypotheses
            New labels of each stream.
        ChannelSearchState
            For the next chunk.
        """
        if encoder_out.dim() != 4 or encoder_out.shape[2] != self.num_channels:
            raise ValueError(
                f"ChannelSearch takes (B, T, N, C) with N={self.num_channels} channels, got "
                f"{tuple(encoder_out.shape)}; num_channels must be that of the encoder"
            )
        together = encoder_out.transpose(1, 2).transpose(0, 1).flatten(0, 1)  # (N B, T, C)
        counts = None if num_frames is None else num_frames.repeat(self.num_channels)
        found, after = self.search.forward_chunk(together, cat(state.channels), counts)
        return self._by_stream(found), ChannelSearchState(self._by_channel(after))

    def finish(self, state: ChannelSearchState) -> list[ChannelHypotheses]:
        """The labels still owed if the streams end here."""
        return self._by_stream([one for part in state.channels for one in self.search.finish(part)])

    @torch.no_grad()
    def forward(
        self, encoder_out: Tensor, num_frames: Tensor | None = None
    ) -> list[ChannelHypotheses]:
        """Search whole mixtures.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, N, C).
        num_frames : Tensor | None
            (B,) valid frames.

        Returns
        -------
        list of ChannelHypotheses
            One for each mixture.
        """
        state = self.initial_state(len(encoder_out))
        found, state = self.forward_chunk(encoder_out, state, num_frames)
        pairs = zip(found, self.finish(state), strict=True)
        return [one + owed for one, owed in pairs]

    __call__ = forward

    def _by_stream(self, found: list[Hypothesis]) -> list[ChannelHypotheses]:
        batch = len(found) // self.num_channels
        return [ChannelHypotheses(tuple(found[row::batch])) for row in range(batch)]

    def _by_channel(self, state: Any) -> tuple[Any, ...]:
        batch = num_rows(state) // self.num_channels
        return tuple(
            row_range(state, channel * batch, batch) for channel in range(self.num_channels)
        )
