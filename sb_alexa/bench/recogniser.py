"""What the streaming benchmark times: waveform to greedy tokens, chunk by chunk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.bench.pacing import TOKENS_PER_SECOND, PacedJoiner
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State
from sb_alexa.transducer.channel_search import ChannelSearch
from sb_alexa.transducer.greedy import GreedySearch
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.predictor import Predictor


@dataclass(frozen=True)
class RecogniserState(State):
    """The states of front end, encoder and search."""

    features: Any
    encoder: Any
    search: Any


@dataclass(frozen=True)
class Step:
    """One timed chunk.

    Arguments
    ---------
    encoder_ms : float
        Front end and encoder.
    total_ms : float
        Front end, encoder and search.
    num_tokens : int
        Labels emitted by all streams.
    """

    encoder_ms: float
    total_ms: float
    num_tokens: int


class Recogniser:
    """A streaming transducer, trained or with random weights, fed with one chunk at a time.

    Arguments
    ---------
    name : str
        For the table.
    prefix : str
        Of its figures' names; empty for the model that the benchmark is about.
    features : StreamingModule
        Samples to frames.
    encoder : StreamingModule | ConformerEncoder
        Frames to encoder frames.
    predictor : Predictor
        Label history to vectors.
    joiner : Joiner
        Both to logits.
    chunk_ms : float
        Chunk wanted; the nearest whole number of encoder frames is taken, or the encoder's own
        `chunk_frames` if it has them.
    sample_rate : int
        Samples per second.
    tokens_per_second : float
        Expected labels for each second of audio, where there is no `search`.
    search : GreedySearch | BeamSearch | None
        Of a trained model. None for random weights: a greedy search whose joiner is wrapped in
        `PacedJoiner`.
    num_channels : int | None
        Output channels of a `SeparationEncoder`, which the search decodes one by one; None for an
        encoder of single talkers.
    """

    def __init__(
        self,
        *,
        name: str,
        prefix: str,
        features: StreamingModule[Any],
        encoder: Any,
        predictor: Predictor[Any],
        joiner: Joiner,
        chunk_ms: float = 150.0,
        sample_rate: int = 16000,
        tokens_per_second: float = TOKENS_PER_SECOND,
        search: Any = None,
        num_channels: int | None = None,
    ) -> None:
        geometry = features.geometry.then(encoder.geometry)
        frame_ms = geometry.hop_ms(sample_rate)
        self.name = name
        self.prefix = prefix
        # Attention in chunks has a chunk of its own; all others take any.
        own_frames = getattr(encoder, "chunk_frames", None)
        self.frame_ms = frame_ms
        self.chunk_samples = geometry.hop * (own_frames or max(1, round(chunk_ms / frame_ms)))
        self.sample_rate = sample_rate
        self.modules = nn.ModuleList([features, encoder, predictor, joiner]).eval()
        self.features = features
        self.encoder = encoder
        if search is None:
            search = GreedySearch(
                predictor=predictor,
                # Stands in for a Joiner with all that a search asks of one.
                joiner=PacedJoiner(  # type: ignore[arg-type]
                    joiner, tokens_per_frame=tokens_per_second * frame_ms / 1000.0
                ),
                max_symbols_per_frame=1,
            )
        if num_channels is not None:
            search = ChannelSearch(search=search, num_channels=num_channels)
        self.search = search

    @property
    def chunk_ms(self) -> float:
        """Audio in a chunk, in milliseconds."""
        return 1000.0 * self.chunk_samples / self.sample_rate

    @property
    def num_parameters(self) -> int:
        """Parameters of all parts."""
        return sum(parameter.numel() for parameter in self.modules.parameters())

    def initial_state(self, batch_size: int) -> RecogniserState:
        """The state of `batch_size` streams before their first sample."""
        return RecogniserState(
            self.features.initial_state(batch_size),
            self.encoder.initial_state(batch_size),
            self.search.initial_state(batch_size),
        )

    @torch.inference_mode()
    def step(self, samples: Tensor, state: RecogniserState) -> tuple[Step, RecogniserState]:
        """Recognise the next chunk of every stream and time it.

        Arguments
        ---------
        samples : Tensor
            (B, chunk_samples).
        state : RecogniserState
            After the chunk before.

        Returns
        -------
        Step
            Times and tokens.
        RecogniserState
            For the next chunk.
        """
        start = time.perf_counter()
        frames, features = self.features.forward_chunk(samples, state.features)
        encoded, encoder = self.encoder.forward_chunk(frames, state.encoder)
        middle = time.perf_counter()
        hypotheses, search = self.search.forward_chunk(encoded, state.search)
        end = time.perf_counter()
        num_tokens = sum(
            len(one.tokens) for found in hypotheses for one in getattr(found, "channels", (found,))
        )
        step = Step(1000.0 * (middle - start), 1000.0 * (end - start), num_tokens)
        return step, RecogniserState(features, encoder, search)
