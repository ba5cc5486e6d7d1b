"""Gates of a trained model, replayed in an encoder of another size with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.encoders.transformer import TransformerEncoder
from sb_alexa.nn.arbitrator import Arbitrator
from sb_alexa.nn.gates import Gates, ToggleLayout
from sb_alexa.nn.transformer_shape import TransformerShape
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.state import State

# No threshold between 0 and 1 moves these logits.
_CERTAIN = 20.0


@dataclass(frozen=True)
class GateRecording:
    """The hard gates of many frames of speech, one after the other.

    Arguments
    ---------
    toggles : Tensor
        (F, N, G + 2 H) bool.
    layout : ToggleLayout
        Of the last dimension.

    Example
    -------
    >>> small, large = ToggleLayout(1, nhead=2), ToggleLayout(1, nhead=4)
    >>> recording = GateRecording(torch.ones(9, 2, 5, dtype=torch.bool), small)
    >>> recording.mapped(num_blocks=12, layout=large).toggles.shape
    torch.Size([9, 12, 9])
    """

    toggles: Tensor
    layout: ToggleLayout

    @staticmethod
    def of_each(gates: Gates, num_frames: Tensor) -> list[Tensor]:
        """The toggles of each utterance of a batch.

        Arguments
        ---------
        gates : Gates
            Bool.
        num_frames : Tensor
            (B,) valid frames.

        Returns
        -------
        list of Tensor
            B times (T, N, G + 2 H), on the CPU.
        """
        toggles = torch.cat([gates.feed_forward, gates.query, gates.key], dim=-1).cpu()
        return [
            row[:frames].clone() for row, frames in zip(toggles, num_frames.tolist(), strict=True)
        ]

    @property
    def num_blocks(self) -> int:
        """N."""
        return self.toggles.shape[1]

    def mapped(self, *, num_blocks: int, layout: ToggleLayout) -> GateRecording:
        """Stretch it over an encoder of another depth: block n takes block n N // num_blocks.

        Arguments
        ---------
        num_blocks : int
            Of the other encoder.
        layout : ToggleLayout
            Of the other encoder; heads and groups are stretched likewise.

        Returns
        -------
        GateRecording
            (F, num_blocks, layout.count).
        """
        blocks = torch.arange(num_blocks) * self.num_blocks // num_blocks
        own = self.layout
        heads = torch.arange(layout.nhead) * own.nhead // layout.nhead
        groups = torch.arange(layout.feed_forward_groups)
        groups = groups * own.feed_forward_groups // layout.feed_forward_groups
        columns = torch.cat([groups, own.query.start + heads, own.key.start + heads])
        return GateRecording(self.toggles[:, blocks][:, :, columns], layout)

    def as_published(self, toggles: str) -> GateRecording:
        """As toggles of whole modules, queries and keys, which are those of the paper.

        Each takes the decisions of a toggle that the model has in the same block, in turn: how
        often it is on, how long it stays, and with which others remain the model's.

        Arguments
        ---------
        toggles : str
            Of the model, see `AmortizedTransformerEncoder`; the others are always on.

        Returns
        -------
        GateRecording
            (F, N, 1 + 2 H).

        Example
        -------
        >>> model = ToggleLayout(feed_forward_groups=2, nhead=2)
        >>> decided = torch.tensor([[[True, False, True, True, True, True]]])
        >>> GateRecording(decided, model).as_published("feed_forward").toggles
        tensor([[[ True, False,  True, False,  True]]])
        """
        own = list(range(self.layout.count))
        decided = own[self.layout.feed_forward]
        decided += [
            one
            for kind in ("query", "key")
            if kind in toggles
            for one in own[getattr(self.layout, kind)]
        ]
        published = ToggleLayout(1, self.layout.nhead)
        columns = [decided[one % len(decided)] for one in range(published.count)]
        return GateRecording(self.toggles[:, :, columns], published)

    def blocks(self, start: int, stop: int) -> GateRecording:
        """Of these blocks only."""
        return GateRecording(self.toggles[:, start:stop].contiguous(), self.layout)


@dataclass(frozen=True)
class ReplayArbitratorState(State):
    """The state of the wrapped arbitrator, and `frame`, (B,): where in the recording a row is."""

    arbitrator: Any
    frame: Tensor


class ReplayArbitrator(Arbitrator[ReplayArbitratorState]):
    """Let another arbitrator work, and then decide as recorded.

    With random weights an arbitrator's own decisions would mean nothing, but its cost is real.

    Arguments
    ---------
    arbitrator : Arbitrator
        Pays the cost.
    recording : Tensor
        (F, num_blocks, G + 2 H) bool, see `GateRecording`; it starts again at its end.
    offset_frames : int
        Row b starts at frame ``b * offset_frames``, so that streams side by side hear different
        speech.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, num_blocks, G + 2 H), 20 where on and -20 where off

    Streaming
    ---------
    No look-ahead; the state holds that of the wrapped arbitrator and counts frames.

    Raises
    ------
    ValueError
        If the recording is empty or of other blocks or heads than the arbitrator.

    Example
    -------
    >>> from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
    >>> recording = torch.tensor([[[True, False, True]], [[False, False, True]]])
    >>> replay = ReplayArbitrator(
    ...     arbitrator=FeedForwardArbitrator(input_size=8, num_blocks=1, nhead=1),
    ...     recording=recording,
    ...     offset_frames=1,
    ... )
    >>> (replay(torch.zeros(2, 3, 8)) > 0)[:, :, 0, 0].tolist()
    [[True, False, True], [False, True, False]]
    """

    geometry = FrameGeometry(window=None)

    def __init__(
        self, *, arbitrator: Arbitrator[Any], recording: Tensor, offset_frames: int = 0
    ) -> None:
        (input_size,) = arbitrator.input_features
        super().__init__(
            input_size=input_size,
            num_blocks=arbitrator.num_blocks,
            nhead=arbitrator.layout.nhead,
            feed_forward_groups=arbitrator.layout.feed_forward_groups,
        )
        expected = (arbitrator.num_blocks, arbitrator.layout.count)
        if recording.shape[1:] != expected or not len(recording):
            raise ValueError(
                f"the recording has shape {tuple(recording.shape)}, the arbitrator decides about "
                f"(frames, {expected[0]}, {expected[1]}); stretch it with GateRecording.mapped"
            )
        self.arbitrator = arbitrator
        self.offset_frames = offset_frames
        # Logits, made here: what replaying adds to a step is not the arbitrator's cost.
        logits = torch.where(recording, _CERTAIN, -_CERTAIN)
        self.register_buffer("recording", logits, persistent=False)
        self.recording: Tensor

    @property
    def macs_per_frame(self) -> int:
        return self.arbitrator.macs_per_frame

    def initial_state(self, batch_size: int) -> ReplayArbitratorState:
        frame = self.offset_frames * torch.arange(batch_size, device=self.recording.device)
        return ReplayArbitratorState(self.arbitrator.initial_state(batch_size), frame)

    def forward_chunk(
        self, x: Tensor, state: ReplayArbitratorState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, ReplayArbitratorState]:
        self.check_chunk(x, state)
        own, arbitrator = self.arbitrator.forward_chunk(x, state.arbitrator, num_steps)
        frames = state.frame[:, None]
        if x.shape[1] != 1:  # one frame, the usual step, costs one operation less
            frames = frames + torch.arange(x.shape[1], device=x.device)
        logits = self.recording[frames % len(self.recording)]  # (B, T, N, G + 2 H)
        after = ReplayArbitratorState(arbitrator, state.frame + x.shape[1])
        return logits.to(own.dtype), after


def build_dense(shape: TransformerShape) -> TransformerEncoder:
    """The peer: a dense encoder with random weights, in evaluation mode."""
    return TransformerEncoder(**_sizes(shape)).eval()


def build_replaying(
    shape: TransformerShape,
    model: AmortizedTransformerEncoder,
    recording: GateRecording,
    *,
    toggles: str,
    toggle_every_frames: int,
    num_rows: int,
) -> AmortizedTransformerEncoder:
    """An encoder with random weights and the gates of a trained one.

    Arguments
    ---------
    shape : TransformerShape
        Its sizes, with the feed-forward groups of its own.
    model : AmortizedTransformerEncoder
        The trained one: tells how many arbitrators there are, and of which kind.
    recording : GateRecording
        Of the trained one.
    toggles : str
        What the gates toggle.
    toggle_every_frames : int
        Frames that a decision holds.
    num_rows : int
        Streams or utterances side by side; they start at even distances in the recording.

    Returns
    -------
    AmortizedTransformerEncoder
        In evaluation mode. Its arbitrators have the sizes of the paper.
    """
    mapped = recording.mapped(num_blocks=shape.num_layers, layout=shape.toggles)
    arbitrators, start = [], 0
    for trained, layers in model.segments:
        # The first block that `mapped` takes from behind the arbitrator's own blocks.
        stop = -(-layers.stop * shape.num_layers // model.shape.num_layers)
        arbitrator = type(trained)(
            input_size=shape.d_model,
            num_blocks=stop - start,
            nhead=shape.nhead,
            feed_forward_groups=shape.feed_forward_groups,
        )
        replay = ReplayArbitrator(
            arbitrator=arbitrator,
            recording=mapped.blocks(start, stop).toggles,
            offset_frames=len(mapped.toggles) // num_rows,
        )
        arbitrators.append(replay)
        start = stop
    return AmortizedTransformerEncoder(
        **_sizes(shape),
        arbitrators=arbitrators,
        feed_forward_groups=shape.feed_forward_groups,
        toggles=toggles,
        toggle_every_frames=toggle_every_frames,
    ).eval()


def _sizes(shape: TransformerShape) -> dict[str, Any]:
    return {
        "input_size": shape.input_size,
        "d_model": shape.d_model,
        "nhead": shape.nhead,
        "num_layers": shape.num_layers,
        "d_ffn": shape.d_ffn,
        "output_size": shape.output_size,
        "left_context_frames": shape.left_context_frames,
    }
