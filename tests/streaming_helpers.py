"""Encoders and shorthands for tests of sessions and batches of live streams."""

from __future__ import annotations

import torch
from torch import Tensor

from sb_alexa.encoders.conformer import ConformerEncoder
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.transducer.greedy import GreedySearch
from sb_alexa.transducer.joiner import Joiner


class Recording(StreamingModule):
    """An encoder that remembers what went out, and says how many frames came in at a time."""

    def __init__(self, inner: StreamingModule, chunk_frames: int | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.geometry, self.input_features = inner.geometry, inner.input_features
        if chunk_frames is not None:
            self.chunk_frames = chunk_frames
        self.outputs: list[Tensor] = []
        self.num_frames_in: list[int] = []
        self.eval()

    def initial_state(self, batch_size: int):
        return self.inner.initial_state(batch_size)

    def forward_chunk(self, x, state, num_steps=None):
        self.num_frames_in.append(x.shape[1])
        y, state = self.inner.forward_chunk(x, state, num_steps)
        self.outputs.append(y)
        return y, state


class Delayed(StreamingModule):
    """An encoder with look-ahead: it makes each output of `inner` known `delay` frames late."""

    def __init__(self, inner: StreamingModule, delay: int) -> None:
        super().__init__()
        self.inner, self.delay = inner, delay
        self.input_features = inner.input_features
        hop = inner.geometry.hop
        self.geometry = FrameGeometry(hop=hop, window=None, look_ahead=delay * hop)
        self.eval()

    def initial_state(self, batch_size: int):
        first = torch.full((batch_size, self.delay, self.inner.output_size), 1e3)
        return (self.inner.initial_state(batch_size), first)

    def forward_chunk(self, x, state, num_steps=None):
        y, inner = self.inner.forward_chunk(x, state[0])
        y = torch.cat([state[1], y], dim=1)
        return y[:, : y.shape[1] - self.delay], (inner, y[:, y.shape[1] - self.delay :])


def offline(parts: dict, samples: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    with torch.no_grad():
        encoder_out = parts["encoder"](parts["features"](samples[None]))
        return encoder_out[0], parts["search"](encoder_out)[0].tokens


def labels(updates: list) -> tuple[int, ...]:
    return tuple(token.label for update in updates for token in update.tokens)


def with_conformer(parts: dict) -> dict:
    """SpeechBrain's Conformer: a fixed chunk, and states that grow with the age of a stream."""
    torch.manual_seed(0)
    encoder = ConformerEncoder(
        input_size=24, d_model=8, nhead=2, num_layers=2, d_ffn=16, kernel_size=5, chunk_frames=4
    )
    predictor = parts["search"].predictor
    joiner = Joiner(encoder_size=8, predictor_size=10, num_labels=17, joint_size=12)
    with torch.no_grad():
        for parameter in joiner.parameters():
            parameter.mul_(3.0)
    search = GreedySearch(predictor=predictor, joiner=joiner.eval(), max_symbols_per_frame=2)
    return {**parts, "encoder": encoder.eval(), "search": search}
