"""Transformer encoder that computes for every frame only what arbitrators switch on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.encoders.transformer import (
    SPARE_SLOTS,
    CausalTransformer,
    TransformerEncoder,
    TransformerState,
)
from sb_alexa.lengths import length_mask
from sb_alexa.nn.arbitrator import Arbitrator, check_arbitrators
from sb_alexa.nn.cache_writer import CacheWriter, utterance_memory
from sb_alexa.nn.gate_plan import plan_blocks
from sb_alexa.nn.gate_relaxation import GateRelaxation, RelaxedGates
from sb_alexa.nn.gated_block import RelaxedBlockGates
from sb_alexa.nn.gated_execution import execute_block
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.one_stream import execute_one_stream
from sb_alexa.nn.single_row import execute_single_row
from sb_alexa.nn.transformer_shape import TransformerShape
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import zero_after

TOGGLES = ("query_key", "query", "key", "feed_forward")


@dataclass(frozen=True)
class AmortizedTransformerState(TransformerState):
    """What the encoder remembers.

    Arguments
    ---------
    arbitrators : tuple
        Their states.
    decided : tuple of Tensor
        For each arbitrator (B, N, G + 2 H), the gates that hold until the next decision.
    """

    arbitrators: tuple[Any, ...]
    decided: tuple[Tensor, ...]


class AmortizedTransformerEncoder(CausalTransformer[AmortizedTransformerState]):
    """A causal Transformer that decides for every frame which of its modules to compute.

    An arbitrator reads the frames and emits a keep probability for each group of the feed-forward
    module of each block and for the query and the key of each head. In training the gates are
    relaxed (`forward_relaxed`); otherwise they are 0 or 1 and what is off is not computed: rows
    that a module needs are packed, and the cache of a stream holds the kept keys only.

    * feed-forward group off: its hidden features are not computed for the frame; with all groups
      off the frame passes the module by.
    * query off: the head adds nothing for the frame.
    * key off: neither this frame nor a later one sees the frame through the head.

    Arguments
    ---------
    arbitrators : sequence of Arbitrator
        One (single) decides about all blocks from the embedded frames. Of two (dual), the first
        decides about the lower blocks, the second about the upper ones from the output of the
        lower. Their numbers of blocks add up to `num_layers`.
    toggles : str
        ``query_key``, ``query``, ``key`` or ``feed_forward``; what is left out is always on.
        Feed-forward modules are always toggled.
    toggle_every_frames : int
        A decision holds for so many frames. 1 is the paper. Above, the first frame of each group
        decides for all of it: a stream fed with whole groups then saves time where frame-wise
        decisions save only operations, for a module is read from memory whole, for one frame as for
        five.
    feed_forward_groups : int
        Parts of each feed-forward module that are toggled one by one; must divide `d_ffn`. 1 is the
        paper. With more, a frame can keep every layer at a part of its width.
    threshold : float
        A module is computed where its keep probability is above; 0 computes everything, 1 nothing.
        The attribute can be set at any time, to trade accuracy for time without training.
    input_size, d_model, nhead, num_layers, d_ffn, output_size, left_context_frames, dropout
        See `sb_alexa.encoders.transformer.TransformerEncoder`.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, output_size)

    Streaming
    ---------
    No look-ahead; the state holds the kept keys and values within the left context, each head of
    each stream with a length of its own, the states of the arbitrators and the gates that hold.

    Raises
    ------
    ValueError
        If the arbitrators do not fit the blocks, the threshold is not within 0..1, the heads do not
        divide `d_model`, the groups not `d_ffn`, or a stream is opened with unlimited left context.

    Reference
    ---------
    Xie et al., "Compute Cost Amortized Transformer for Streaming ASR", Interspeech 2022, arXiv
    2207.02393. Ours: linear position biases, the bounded left context, decisions for groups of
    frames, feed-forward modules in groups, the initial bias of the gates. A frame without any
    visible key gets zeros from a head.

    Whether the LSTM stack of ConvRNN-T should have such gates was considered, and they are not
    offered. A cell that is left out at a frame still has to hand its state on, so that later frames
    hear less of it, where a query or a feed-forward module left out concerns its own frame only.
    And the two products of a cell are needed together: there is one decision per layer and frame,
    no heads. This encoder can stand above other modules instead, ConvRNN-T's convolutions included:
    ``StreamingSequential(LocalCNN(...), AmortizedTransformerEncoder(...))``.

    Example
    -------
    >>> from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
    >>> _ = torch.manual_seed(0)
    >>> encoder = AmortizedTransformerEncoder(
    ...     input_size=6, d_model=8, nhead=2, num_layers=2, d_ffn=16, output_size=5,
    ...     left_context_frames=3,
    ...     arbitrators=[FeedForwardArbitrator(input_size=8, num_blocks=2, nhead=2, bias=0.0)],
    ... ).eval()
    >>> x = torch.randn(1, 9, 6)
    >>> y, gates = encoder.forward_with_gates(x)
    >>> y.shape, gates.query.shape, bool(gates.query.all())
    (torch.Size([1, 9, 5]), torch.Size([1, 9, 2, 2]), False)
    >>> encoder.threshold = 0.0
    >>> bool(encoder.forward_with_gates(x)[1].query.all())
    True
    """  # fmt: skip

    def __init__(
        self,
        *,
        arbitrators: Sequence[Arbitrator[Any]],
        toggles: str = "query_key",
        toggle_every_frames: int = 1,
        feed_forward_groups: int = 1,
        threshold: float = 0.5,
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
            feed_forward_groups=feed_forward_groups,
        )
        check_arbitrators(arbitrators, shape)
        if toggles not in TOGGLES:
            raise ValueError(f"toggles must be one of {', '.join(TOGGLES)}, got {toggles!r}")
        if toggle_every_frames < 1:
            raise ValueError(f"toggle_every_frames must be >= 1, got {toggle_every_frames}")
        macs = sum(arbitrator.macs_per_frame for arbitrator in arbitrators)
        super().__init__(shape=replace(shape, arbitrator_macs=macs), dropout=dropout)
        self.arbitrators = nn.ModuleList(arbitrators)
        self.toggles = toggles
        self.toggle_every_frames = toggle_every_frames
        self.threshold = threshold
        recurrent = any(arbitrator.geometry.window is None for arbitrator in arbitrators)
        if recurrent or toggle_every_frames > 1:
            self.geometry = FrameGeometry(window=None)

    @property
    def threshold(self) -> float:
        """Keep probability above which a module is computed."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise ValueError(
                f"threshold must lie between 0 (compute everything) and 1 (nothing), got {value}"
            )
        self._threshold = float(value)
        # Compared with logits, 0 keeps and 1 drops whatever rounding makes of a probability.
        self._limit = math.inf if value == 1 else -math.inf
        if 0 < value < 1:
            self._limit = math.log(value / (1 - value))

    @property
    def segments(self) -> Iterator[tuple[Arbitrator[Any], slice]]:
        """Each arbitrator with the blocks that it decides about."""
        first = 0
        for arbitrator in self.arbitrators:
            assert isinstance(arbitrator, Arbitrator)
            yield arbitrator, slice(first, first + arbitrator.num_blocks)
            first += arbitrator.num_blocks

    def without_gates(self) -> TransformerEncoder:
        """A plain encoder with a copy of the weights, which computes what all gates on compute."""
        sizes = asdict(self.shape)
        del sizes["arbitrator_macs"], sizes["feed_forward_groups"]
        plain = TransformerEncoder(**sizes, dropout=self.dropout.p)
        weights = self.state_dict()
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
        return plain.to(self.embedding.weight).train(self.training)

    def forward_relaxed(
        self, x: Tensor, num_steps: Tensor | None, relaxation: GateRelaxation
    ) -> tuple[Tensor, Gates]:
        """Whole utterances with gates between 0 and 1.

        Arguments
        ---------
        x : Tensor
            (B, T, input_size).
        num_steps : Tensor | None
            (B,) valid frames.
        relaxation : GateRelaxation
            How soft and how random the gates are.

        Returns
        -------
        Tensor
            (B, T, output_size), zero after the end of each row.
        Gates
            Floats with gradients.
        """
        self.check_chunk(x)
        if num_steps is not None:
            x = zero_after(x, num_steps)
        # Without dropout the gates would be those of evaluation: the lowest arbitrator has none,
        # and what it reads stays as it is when it does.
        read = self.embedding(x)
        read = read.detach() if relaxation.frozen else read
        x = self.dropout(read)
        values = []
        for number, (arbitrator, layers) in enumerate(self.segments):
            soft = relaxation(arbitrator(x if number else read), self._limit)
            # Frames that decide together share the noise too. (B, T, n, G + 2 H)
            soft = RelaxedGates(self._held(soft.value), self._held(soft.log_value))
            for layer, block in enumerate(self.layers(layers)):
                x = block.forward_relaxed(x, self._block_gates(soft, layer))
            values.append(soft.value)
        y = self.output(x)
        gates = self._as_gates(torch.cat(values, dim=2))
        for kind in ("query", "key"):
            if kind not in self.toggles:
                gates = replace(gates, **{kind: torch.ones_like(gates.query)})
        return (y if num_steps is None else zero_after(y, num_steps)), gates

    def _held(self, toggles: Tensor) -> Tensor:
        """The decision of the first frame of each group for all of it."""
        if self.toggle_every_frames == 1:
            return toggles
        frame = torch.arange(toggles.shape[1], device=toggles.device)
        return toggles.index_select(1, frame - frame % self.toggle_every_frames)

    def _block_gates(self, soft: RelaxedGates, number: int) -> RelaxedBlockGates:
        layout, value = self.shape.toggles, soft.value[:, :, number]
        key = RelaxedGates(value[..., layout.key], soft.log_value[:, :, number, layout.key])
        return RelaxedBlockGates(
            feed_forward=value[..., layout.feed_forward],
            query=value[..., layout.query] if "query" in self.toggles else None,
            key=key if "key" in self.toggles else None,
        )

    def _as_gates(self, toggles: Tensor) -> Gates:
        """From (B, T, N, G + 2 H)."""
        layout = self.shape.toggles
        return Gates(
            toggles[..., layout.feed_forward], toggles[..., layout.query], toggles[..., layout.key]
        )

    def _decide(self, logits: Tensor) -> Tensor:
        """(B, T, N, G + 2 H) bool."""
        layout, keep = self.shape.toggles, logits > self._limit
        if "query" not in self.toggles:
            keep[..., layout.query] = True
        if "key" not in self.toggles:
            keep[..., layout.key] = True
        return keep

    def forward_counted(self, x: Tensor, num_steps: Tensor | None = None) -> Tensor:
        """Whole utterances, with gates of 0 and 1.

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
        return self.forward_with_gates(x, num_steps)[0]

    def forward_with_gates(
        self, x: Tensor, num_steps: Tensor | None = None
    ) -> tuple[Tensor, Gates]:
        """Whole utterances, with gates of 0 and 1, and the gates.

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
        Gates
            Bool; off after the end of each row, where nothing is computed.
        """
        self.check_chunk(x)
        batch, frames, _ = x.shape
        exists = None
        if num_steps is not None:
            x = zero_after(x, num_steps)
            exists = length_mask(num_steps, frames)[..., None, None]
        number = torch.arange(frames, device=x.device).expand(batch, -1)
        x = self.dropout(self.embedding(x)).flatten(0, 1)  # (R, C)
        decisions = []
        for arbitrator, layers in self.segments:
            keep = self._decide(self._held(arbitrator(x.view(batch, frames, -1))))
            keep = keep if exists is None else keep & exists
            decisions.append(keep)
            plans = plan_blocks(keep.flatten(0, 1), self.shape.toggles)
            kept_keys = keep[..., self.shape.toggles.key]
            for layer, (block, plan) in enumerate(zip(self.layers(layers), plans, strict=True)):
                memory = utterance_memory(kept_keys[:, :, layer], x, 2 * self.shape.head_size)
                x = execute_block(block, x, plan, memory, number)
        y = self.output(x).view(batch, frames, -1)
        gates = self._as_gates(torch.cat(decisions, dim=2))
        return (y if num_steps is None else zero_after(y, num_steps)), gates

    def initial_state(self, batch_size: int) -> AmortizedTransformerState:
        cache = self.initial_cache(batch_size, same_frames=False)
        device = cache.length.device
        num_toggles = self.shape.toggles.count
        return AmortizedTransformerState(
            frame=torch.zeros(batch_size, dtype=torch.int64, device=device),
            cache=cache,
            arbitrators=tuple(one.initial_state(batch_size) for one, _ in self.segments),
            decided=tuple(
                torch.zeros(batch_size, one.num_blocks, num_toggles, dtype=torch.bool).to(device)
                for one, _ in self.segments
            ),
        )

    def forward_chunk(
        self, x: Tensor, state: AmortizedTransformerState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, AmortizedTransformerState]:
        y, _, state = self.forward_chunk_with_gates(x, state)
        return y, state

    def forward_chunk_with_gates(
        self, x: Tensor, state: AmortizedTransformerState
    ) -> tuple[Tensor, Gates, AmortizedTransformerState]:
        """`forward_chunk`, and the gates of the chunk.

        Arguments
        ---------
        x : Tensor
            (B, n, input_size).
        state : AmortizedTransformerState
            From `initial_state` or the chunk before.

        Returns
        -------
        Tensor
            (B, n, output_size).
        Gates
            Bool, of n frames.
        AmortizedTransformerState
            For the next chunk.
        """
        self.check_chunk(x, state)
        outputs = [x.new_zeros(*x.shape[:2], self.output_size)][: x.shape[1] == 0]
        shape = (*x.shape[:2], self.shape.num_layers, self.shape.toggles.count)
        decisions = [torch.zeros(shape, dtype=torch.bool, device=x.device)][: x.shape[1] == 0]
        for part in x.split(SPARE_SLOTS, dim=1) if x.shape[1] else ():
            y, keep, state = self._step(part, state)
            outputs.append(y)
            decisions.append(keep)
        gates = self._as_gates(torch.cat(decisions, dim=1))
        return torch.cat(outputs, dim=1), gates, state

    def _step(
        self, x: Tensor, state: AmortizedTransformerState
    ) -> tuple[Tensor, Tensor, AmortizedTransformerState]:
        batch, frames, _ = x.shape
        context = self.shape.left_context_frames
        writer = CacheWriter(state.cache, state.frame, frames, context)
        x = self.dropout(self.embedding(x))  # (B, n, C)
        one = self.is_one_stream(x, batch)
        execute = self._execute_one_stream if one else self._execute_streams
        decisions, decided, arbitrators = [], [], []
        for number, (arbitrator, layers) in enumerate(self.segments):
            logits, after = arbitrator.forward_chunk(x, state.arbitrators[number])
            keep = self._hold(self._decide(logits), state.decided[number], writer.frames)
            x = execute(x, keep, layers, writer)
            arbitrators.append(after)
            decisions.append(keep)
            decided.append(keep[:, -1])
        after = AmortizedTransformerState(
            state.frame + frames, writer.finish(), tuple(arbitrators), tuple(decided)
        )
        return self.output(x), torch.cat(decisions, dim=2), after

    def _hold(self, keep: Tensor, decided: Tensor, frames: Tensor) -> Tensor:
        """Decisions of frames that begin a group, for all of it; also across chunks."""
        every = self.toggle_every_frames
        if every == 1:
            return keep
        source = frames - frames % every - frames[:, :1] + 1  # 0: decided before this chunk
        known = torch.cat([decided[:, None], keep], dim=1)
        index = source.clamp_min(0)[..., None, None].expand(-1, -1, *keep.shape[2:])
        return known.gather(1, index)

    def _execute_streams(
        self, x: Tensor, keep: Tensor, layers: slice, writer: CacheWriter
    ) -> Tensor:
        """The blocks of one arbitrator on any chunk, (B, n, C)."""
        plans = plan_blocks(keep.flatten(0, 1), self.shape.toggles)
        slot = writer.reserve(layers, keep[..., self.shape.toggles.key])
        memories = writer.block_memories(layers, slot)
        y = x.flatten(0, 1)
        for block, plan, memory in zip(self.layers(layers), plans, memories, strict=True):
            y = execute_block(block, y, plan, memory, writer.frames)
        writer.memory[layers] = [memory.memory for memory in memories]
        return y.view_as(x)

    def _execute_one_stream(
        self, x: Tensor, keep: Tensor, layers: slice, writer: CacheWriter
    ) -> Tensor:
        """The blocks of one arbitrator on a chunk of one stream, (1, n, C)."""
        slots = torch.stack([writer.first[0, layers], writer.length[0, layers]], dim=-1).tolist()
        writer.reserve(layers, keep[..., self.shape.toggles.key])
        biases = self.stream_biases(writer, layers)
        memories = [memory[0] for memory in writer.memory[layers]]
        blocks = self.layers(layers)
        if keep.shape[1] == 1:
            y = x[0, 0]
            gates, row_biases = keep[0, 0].tolist(), biases[:, :, 0].unbind(0)
            for block, on, memory, bias, places in zip(
                blocks, gates, memories, row_biases, slots, strict=True
            ):
                y = execute_single_row(block, y, on, memory, bias, places)
            return y[None, None]
        y = x[0]
        for block, plan, memory, bias, places in zip(
            blocks,
            plan_blocks(keep[0], self.shape.toggles),
            memories,
            biases.unbind(0),
            slots,
            strict=True,
        ):
            y = execute_one_stream(block, y, plan, memory, bias, places)
        return y[None]
