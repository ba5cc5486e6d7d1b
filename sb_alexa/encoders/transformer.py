"""Causal Transformer encoder that streams with a cache of keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from sb_alexa.nn.cache_writer import CacheWriter
from sb_alexa.nn.gate_plan import BlockPlan
from sb_alexa.nn.gated_block import GatedTransformerBlock
from sb_alexa.nn.gated_execution import execute_block
from sb_alexa.nn.key_value_cache import KeyValueCache
from sb_alexa.nn.one_stream import execute_one_stream, stream_biases
from sb_alexa.nn.single_row import execute_single_row
from sb_alexa.nn.transformer_shape import TransformerShape
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule, zero_after
from sb_alexa.streaming.state import State

# Frames that a stream adds to its cache before it moves the visible ones into a new storage: a
# longer stretch costs memory, a shorter one time.
SPARE_SLOTS = 64


@dataclass(frozen=True)
class TransformerState(State):
    """What the encoder remembers.

    Arguments
    ---------
    frame : Tensor
        (B,) number of the next frame.
    cache : KeyValueCache
        Of all blocks.
    """

    frame: Tensor
    cache: KeyValueCache


S = TypeVar("S", bound=TransformerState)


class CausalTransformer(StreamingModule[S]):
    """What dense and amortized Transformer encoders share: sizes, parameters, opening a stream.

    Arguments
    ---------
    shape : TransformerShape
        Sizes.
    dropout : float
        Share of the embedded frames and of each branch dropped in training.
    """

    def __init__(self, *, shape: TransformerShape, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Linear(shape.input_size, shape.d_model)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            GatedTransformerBlock(shape=shape, dropout=dropout) for _ in range(shape.num_layers)
        )
        self.output = nn.Linear(shape.d_model, shape.output_size)
        self.output_size = shape.output_size
        self.input_features = (shape.input_size,)
        context = shape.left_context_frames
        window = None if context is None else 1 + shape.num_layers * context
        self.geometry = FrameGeometry(window=window)

    def layers(self, which: slice = slice(None)) -> list[GatedTransformerBlock]:
        """Some of the blocks."""
        # A slice of a ModuleList would be a new module, which takes longer than a small product.
        return cast("list[GatedTransformerBlock]", list(self.blocks)[which])

    def initial_cache(self, batch_size: int, *, same_frames: bool) -> KeyValueCache:
        """An empty cache for `batch_size` streams.

        Raises
        ------
        ValueError
            If the left context is unlimited.
        """
        context = self.shape.left_context_frames
        if context is None:
            raise ValueError(
                f"{type(self).__name__} with left_context_frames=None looks back without limit, so "
                "a stream would need more and more memory: build it with left_context_frames=100 "
                "(3 s of 30 ms frames), which loads the same weights"
            )
        return KeyValueCache.empty(
            self.zeros(batch_size, self.shape.d_model),
            num_layers=self.shape.num_layers,
            nhead=self.shape.nhead,
            num_slots=context + SPARE_SLOTS,
            same_frames=same_frames,
        )

    def is_one_stream(self, x: Tensor, batch_size: int) -> bool:
        """Whether a chunk takes the short path: one stream, no gradients, one precision."""
        return (
            batch_size == 1
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled(x.device.type)
            and x.dtype in (torch.float32, torch.float64)
        )

    def stream_biases(self, writer: CacheWriter, layers: slice) -> Tensor:
        """(P, H, T, L) position biases of a step of one stream."""
        slopes = self.blocks[0].slopes
        assert isinstance(slopes, Tensor)
        return stream_biases(
            writer.cache.positions[0, layers],
            writer.frames[0],
            slopes.to(writer.memory[0].dtype),
            self.shape.left_context_frames,
        )


class TransformerEncoder(CausalTransformer[TransformerState]):
    """A stack of causal Transformer blocks.

    Arguments
    ---------
    input_size : int
        Features of a frame: 192 for three stacked frames of 64 log-mel energies.
    d_model : int
        Features inside.
    nhead : int
        Attention heads; must divide `d_model`.
    num_layers : int
        Blocks.
    d_ffn : int
        Width of the feed-forward modules.
    output_size : int
        Features of an output frame.
    left_context_frames : int | None
        A frame attends to itself and to so many before it; None to all, offline only.
    dropout : float
        Share of the embedded frames and of each branch dropped in training.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, output_size)

    Streaming
    ---------
    No look-ahead; the state holds keys and values of the last `left_context_frames` frames of each
    block. A step costs the same after an hour as at the beginning.

    Raises
    ------
    ValueError
        If the heads do not divide `d_model`; if a stream is opened with unlimited left context.

    Reference
    ---------
    Xie et al., "Compute Cost Amortized Transformer for Streaming ASR", Interspeech 2022, arXiv
    2207.02393: the dense model, whose left context is unlimited and whose positions are not
    described; here they are linear biases (ALiBi).

    Example
    -------
    >>> encoder = TransformerEncoder(
    ...     input_size=6, d_model=8, nhead=2, num_layers=2, d_ffn=16, output_size=5,
    ...     left_context_frames=3,
    ... ).double().eval()
    >>> x = torch.randn(2, 9, 6, dtype=torch.float64)
    >>> first, state = encoder.forward_chunk(x[:, :4], encoder.initial_state(2))
    >>> second, state = encoder.forward_chunk(x[:, 4:], state)
    >>> torch.allclose(torch.cat([first, second], dim=1), encoder(x), atol=1e-12)
    True
    """  # fmt: skip

    def __init__(
        self,
        *,
        input_size: int = 192,
        d_model: int = 516,
        nhead: int = 4,
        num_layers: int = 12,
        d_ffn: int = 1024,
        output_size: int = 512,
        left_context_frames: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        shape = TransformerShape(
            input_size=input_size,
            d_model=d_model,
            nhead=nhead,
            num_layers=num_layers,
            d_ffn=d_ffn,
            output_size=output_size,
            left_context_frames=left_context_frames,
        )
        super().__init__(shape=shape, dropout=dropout)

    def forward_counted(self, x: Tensor, num_steps: Tensor | None = None) -> Tensor:
        """Whole utterances, by PyTorch's fused attention.

        Arguments
        ---------
        x : Tensor
            (B, T, input_size).
        num_steps : Tensor | None
            (B,) valid frames.

        Returns
        -------
        Tensor
            (B, T, output_size), zero after the end of each row.
        """
        self.check_chunk(x)
        if num_steps is not None:
            x = zero_after(x, num_steps)
        x = self.dropout(self.embedding(x))
        for block in self.blocks:
            x = block(x)
        y = self.output(x)
        return y if num_steps is None else zero_after(y, num_steps)

    def initial_state(self, batch_size: int) -> TransformerState:
        cache = self.initial_cache(batch_size, same_frames=True)
        frame = torch.zeros(batch_size, dtype=torch.int64, device=cache.length.device)
        return TransformerState(frame, cache)

    def forward_chunk(
        self, x: Tensor, state: TransformerState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, TransformerState]:
        self.check_chunk(x, state)
        outputs = [x.new_zeros(*x.shape[:2], self.output_size)] if x.shape[1] == 0 else []
        for part in x.split(SPARE_SLOTS, dim=1) if x.shape[1] else ():
            y, state = self._step(part, state)
            outputs.append(y)
        return torch.cat(outputs, dim=1), state

    def _step(self, x: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        batch, frames, _ = x.shape
        context = self.shape.left_context_frames
        writer = CacheWriter(state.cache, state.frame, frames, context)
        before = int(writer.length[0, 0, 0])
        keep = torch.ones(batch, frames, 1, 1, dtype=torch.bool, device=x.device)
        slot = writer.reserve(slice(None), keep)
        x = self.dropout(self.embedding(x)).flatten(0, 1)  # (R, C)
        plan = BlockPlan.everything(len(x), self.shape.toggles)
        if self.is_one_stream(x, batch):
            slots = [[int(writer.first[0, 0, 0]), before]] * self.shape.nhead
            bias = self.stream_biases(writer, slice(None))[0]
            x = self._execute_one_stream(x, plan, writer, bias, slots)
        else:
            memories = writer.block_memories(slice(None), slot)
            for layer, (block, memory) in enumerate(zip(self.layers(), memories, strict=True)):
                x = execute_block(block, x, plan, memory, writer.frames)
                writer.memory[layer] = memory.memory
        y = self.output(x).view(batch, frames, -1)
        return y, TransformerState(state.frame + frames, writer.finish())

    def _execute_one_stream(
        self, x: Tensor, plan: BlockPlan, writer: CacheWriter, bias: Tensor, slots: list[list[int]]
    ) -> Tensor:
        """All blocks on a chunk of one stream, (n, C)."""
        if len(x) > 1:
            for block, memory in zip(self.layers(), writer.memory, strict=True):
                x = execute_one_stream(block, x, plan, memory[0], bias, slots)
            return x
        y, keep, row_bias = x[0], [True] * self.shape.toggles.count, bias[:, 0]
        for block, memory in zip(self.layers(), writer.memory, strict=True):
            y = execute_single_row(block, y, keep, memory[0], row_bias, slots)
        return y[None]
