"""SpeechBrain's Conformer as a peer: same frames in, same surface, its own chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig
from torch import Tensor, nn

from sb_alexa.lengths import absolute_lengths, length_mask, relative_lengths
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingContext
from sb_alexa.streaming.state import State, num_rows


@dataclass(frozen=True)
class ConformerLayerState(State):
    """What a layer remembers; both grow from zero frames to their limit.

    Arguments
    ---------
    attention : Tensor
        (B, L, C) frames that the next chunk attends to.
    convolution : Tensor
        (B, P, C) frames under the left half of the convolution's kernel.
    """

    attention: Tensor
    convolution: Tensor


@dataclass(frozen=True)
class ConformerState(State):
    """The states of the layers."""

    layers: tuple[ConformerLayerState, ...]


class ConformerEncoder(nn.Module):
    """SpeechBrain's Conformer with dynamic chunk attention and convolution.

    It stands beside the recurrent encoders in recipes and comparisons. A frame sees its whole chunk
    and some chunks before it, so that the output depends on the cutting. It is therefore no
    `StreamingModule`, which promises the contrary, but has the same methods for chunks of
    `chunk_frames` frames. The whole-utterance pass is masked to the same chunks and equals the
    streaming pass.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    d_model : int
        Features inside.
    nhead : int
        Attention heads.
    num_layers : int
        Conformer layers. The default of 16 has 24 million parameters, those of the ConvRNN-T
        encoder; with the label encoder and the joint network it is the 29 million of the paper.
    d_ffn : int
        Width of the feed-forward modules.
    kernel_size : int
        Odd, frames under the kernel of the convolution modules.
    dropout : float
        Everywhere SpeechBrain has one.
    attention_type : str
        ``RoPEMHA`` (rotary positions) or ``RelPosMHAXL``.
    chunk_frames : int
        Frames of a chunk; 5 of 30 ms are 150 ms.
    left_context_chunks : int
        Chunks before its own that a frame attends to; 16 of 150 ms are 2.4 s.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, d_model)

    Streaming
    ---------
    The first frame of a chunk waits for its last one, ``chunk_frames - 1`` frames later. The state
    holds the left context of each layer, all of whose attention SpeechBrain computes anew for every
    chunk. Its size grows over the first chunks: only states of one age can be put together.

    Reference
    ---------
    Gulati et al., "Conformer", Interspeech 2020, arXiv 2005.08100; Li et al., "Dynamic chunk
    convolution for unified streaming and non-streaming Conformer ASR", ICASSP 2023, as implemented
    in SpeechBrain 1.1. Deviation: the last chunk of each row is completed with zero frames, offline
    too. SpeechBrain's convolution reads the padding there, whose content depends on the other rows.

    Example
    -------
    >>> encoder = ConformerEncoder(input_size=6, d_model=8, nhead=2, num_layers=1, d_ffn=16).eval()
    >>> x = torch.randn(1, 10, 6)
    >>> state = encoder.initial_state(1)
    >>> first, state = encoder.forward_chunk(x[:, :5], state)
    >>> second, state = encoder.forward_chunk(x[:, 5:], state)
    >>> torch.allclose(torch.cat([first, second], dim=1), encoder(x), atol=1e-5)
    True
    """

    geometry = FrameGeometry(window=None)

    def __init__(
        self,
        *,
        input_size: int = 192,
        d_model: int = 256,
        nhead: int = 4,
        num_layers: int = 16,
        d_ffn: int = 1024,
        kernel_size: int = 31,
        dropout: float = 0.1,
        attention_type: str = "RoPEMHA",
        chunk_frames: int = 5,
        left_context_chunks: int = 16,
    ) -> None:
        super().__init__()
        if chunk_frames < 1 or left_context_chunks < 0:
            raise ValueError(
                "chunk_frames must be >= 1 and left_context_chunks >= 0 (SpeechBrain cannot stream "
                f"an unlimited left context), got {chunk_frames} and {left_context_chunks}"
            )
        if attention_type not in ("RoPEMHA", "RelPosMHAXL"):
            raise ValueError(
                f"attention_type must be RoPEMHA or RelPosMHAXL, which stream, got {attention_type}"
            )
        if kernel_size % 2 == 0 or d_model % nhead:
            raise ValueError(
                "kernel_size must be odd and nhead divide d_model, got "
                f"kernel_size={kernel_size}, nhead={nhead}, d_model={d_model}"
            )
        self.chunk_frames = chunk_frames
        self.left_context_chunks = left_context_chunks
        self.input_features = (input_size,)
        self.output_size = d_model
        self.transformer = TransformerASR(
            tgt_vocab=1,
            input_size=input_size,
            d_model=d_model,
            nhead=nhead,
            num_encoder_layers=num_layers,
            num_decoder_layers=0,
            d_ffn=d_ffn,
            dropout=dropout,
            activation=nn.GELU,
            encoder_module="conformer",
            attention_type=attention_type,
            normalize_before=True,
            causal=False,
            kernel_size=kernel_size,
        )

    def initial_state(self, batch_size: int) -> ConformerState:
        """The state before the first chunk.

        Arguments
        ---------
        batch_size : int
            Number of rows.

        Returns
        -------
        ConformerState
            Of no frames.
        """
        weight = next(self.parameters())
        nothing = weight.new_zeros(batch_size, 0, self.output_size)
        layer = ConformerLayerState(attention=nothing, convolution=nothing)
        return ConformerState((layer,) * len(self.transformer.encoder.layers))

    def forward_chunk(
        self, x: Tensor, state: ConformerState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, ConformerState]:
        """Process the next chunk of every row.

        Arguments
        ---------
        x : Tensor
            (B, chunk_frames, input_size), or (B, 0, input_size).
        state : ConformerState
            From `initial_state` or the previous chunk; never changed in place.
        num_steps : Tensor | None
            Ignored.

        Returns
        -------
        Tensor
            (B, chunk_frames, d_model).
        ConformerState
            The state for the next chunk.

        Raises
        ------
        ValueError
            If the chunk has another size or other rows than the state.
        """
        self._check(x)
        if x.shape[1] not in (0, self.chunk_frames) or num_rows(state) != x.shape[0]:
            raise ValueError(
                f"ConformerEncoder takes chunks of {self.chunk_frames} frames and as many rows as "
                f"the state has, got {x.shape[1]} frames, {x.shape[0]} rows and a state of "
                f"{num_rows(state)}; complete the last chunk of a stream with zero frames"
            )
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], 0, self.output_size), state
        context = self.transformer.make_streaming_context(self._config())
        for layer, before in zip(context.encoder_context.layers, state.layers, strict=True):
            layer.mha_left_context = before.attention
            layer.dcconv_left_context = before.convolution
        with _outside_inference_mode():
            y = self.transformer.encode_streaming(x, context)
        after = ConformerState(
            tuple(
                ConformerLayerState(
                    # SpeechBrain stores nothing without left context and views of a longer tensor.
                    attention=layer.mha_left_context.to(before.attention.dtype, copy=True),
                    convolution=layer.dcconv_left_context.to(before.convolution.dtype, copy=True),
                )
                for layer, before in zip(context.encoder_context.layers, state.layers, strict=True)
            )
        )
        return y, after

    def finish(self, state: ConformerState) -> Tensor:
        """Nothing is owed after the last chunk.

        Arguments
        ---------
        state : ConformerState
            The state after the last chunk.

        Returns
        -------
        Tensor
            (B, 0, d_model).
        """
        return next(self.parameters()).new_zeros(num_rows(state), 0, self.output_size)

    def forward(
        self,
        x: Tensor,
        wav_lens: Tensor | None = None,
        pad_idx: int = 0,
        dynchunktrain_config: DynChunkTrainConfig | None = None,
    ) -> Tensor:
        """Process whole utterances, masked to chunks.

        Arguments
        ---------
        x : Tensor
            (B, T, input_size), padded on the right.
        wav_lens : Tensor | None
            (B,) relative lengths.
        pad_idx : int
            Ignored; part of SpeechBrain's encoder signature.
        dynchunktrain_config : DynChunkTrainConfig | None
            Other chunks than the encoder's own, for dynamic chunk training: what SpeechBrain's
            `DynChunkTrainConfigRandomSampler` draws. None takes the encoder's own; a chunk of T
            frames or more is the full context.

        Returns
        -------
        Tensor
            (B, T, d_model), zero after the end of each row.
        """
        num_steps = None if wav_lens is None else absolute_lengths(wav_lens, x.shape[1])
        return self.forward_counted(x, num_steps, dynchunktrain_config)

    def forward_counted(
        self,
        x: Tensor,
        num_steps: Tensor | None = None,
        dynchunktrain_config: DynChunkTrainConfig | None = None,
    ) -> Tensor:
        """`forward` with absolute instead of relative lengths.

        Arguments
        ---------
        x : Tensor
            (B, T, input_size).
        num_steps : Tensor | None
            (B,) valid frames.
        dynchunktrain_config : DynChunkTrainConfig | None
            As in `forward`.

        Returns
        -------
        Tensor
            (B, T, d_model), zero after the end of each row.
        """
        self._check(x)
        config = dynchunktrain_config or self._config()
        steps, lens = x.shape[1], None
        if num_steps is not None:
            mask = length_mask(num_steps, steps)[..., None]
            x = x.masked_fill(~mask, 0)
        if dynchunktrain_config is None or config.chunk_size < steps:
            # No frame sees a later chunk, hence none of another row's padding: nothing to mask.
            padding = -steps % config.chunk_size
            x = torch.nn.functional.pad(x, (0, 0, 0, padding))
        elif num_steps is not None:
            lens = relative_lengths(num_steps, steps)
        with _outside_inference_mode():
            y = self.transformer.encode(x, lens, dynchunktrain_config=config)[:, :steps]
        return y if num_steps is None else y.masked_fill(~mask, 0)

    def num_outputs(self, num_steps: Tensor) -> Tensor:
        """(B,) output frames for (B,) input frames: as many."""
        return num_steps

    def make_streaming_context(self, dynchunktrain_config: Any = None) -> StreamingContext:
        """SpeechBrain's way to open a stream; the encoder's own chunks hold."""
        return StreamingContext()

    def forward_streaming(self, x: Tensor, context: StreamingContext) -> Tensor:
        """SpeechBrain's way to process a chunk: the context is updated.

        Arguments
        ---------
        x : Tensor
            (B, chunk_frames, input_size).
        context : StreamingContext
            From `make_streaming_context`.

        Returns
        -------
        Tensor
            (B, chunk_frames, d_model).
        """
        if context.state is None:
            context.state = self.initial_state(x.shape[0])
        y, context.state = self.forward_chunk(x, context.state)
        return y

    def _config(self) -> DynChunkTrainConfig:
        return DynChunkTrainConfig(self.chunk_frames, self.left_context_chunks)

    def _check(self, x: Tensor) -> None:
        if x.dim() != 3 or tuple(x.shape[2:]) != self.input_features:
            raise ValueError(
                f"ConformerEncoder takes input of shape (B, T, {self.input_features[0]}), got "
                f"{tuple(x.shape)}"
            )


@contextmanager
def _outside_inference_mode() -> Iterator[None]:
    """Run without gradients but outside of inference mode.

    SpeechBrain keeps its rotary tables for all later calls of the process, and a table made in
    inference mode cannot take part in training afterwards.
    """
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False), torch.no_grad():
            yield
    else:
        yield
