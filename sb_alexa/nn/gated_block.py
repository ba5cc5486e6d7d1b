"""Transformer block whose heads and feed-forward module can be switched off frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.nn.causal_attention import alibi_slopes, causal_attention
from sb_alexa.nn.gate_relaxation import RelaxedGates
from sb_alexa.nn.transformer_shape import TransformerShape


@dataclass(frozen=True)
class RelaxedBlockGates:
    """Gates of one block in training; None where a kind is always on.

    Arguments
    ---------
    feed_forward : Tensor
        (B, T, G).
    query : Tensor | None
        (B, T, H).
    key : RelaxedGates | None
        (B, T, H), with their logarithms.
    """

    feed_forward: Tensor
    query: Tensor | None
    key: RelaxedGates | None


class GatedTransformerBlock(nn.Module):
    """Causal attention and a feed-forward module, each normalised before it is added.

    ``x + LayerNorm(W_o heads)``, then ``x + LayerNorm(W_2 GELU(W_1 x))``. A gate acts behind the
    norm, which would undo it: the attention branch is multiplied by ``1 - prod_h (1 - s_q^h)``, the
    feed-forward branch by ``s_f``. ``W_o`` has no bias: with all gates off the block is the
    identity.

    A feed-forward module in G > 1 groups is treated as the heads are: ``W_2`` gets ``s_f^g`` times
    the hidden features of group g, and the branch is multiplied by ``1 - prod_g (1 - s_f^g)``.

    The same parameters serve three ways to compute: `forward` (whole utterances, every gate on),
    `forward_relaxed` (training) and `sb_alexa.nn.gated_execution` (only what is switched on).

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder.
    dropout : float
        Share of a branch's outputs dropped in training.

    Shape
    -----
    input, output : (B, T, d_model)

    Reference
    ---------
    Xie et al., "Compute Cost Amortized Transformer for Streaming ASR", Interspeech 2022, arXiv
    2207.02393. Ours: the linear position biases (the paper does not say what positions it has), the
    places where the gates multiply, GELU, and the groups. A whole module is much to leave out of a
    shallow encoder: with groups a frame keeps all its layers and loses width, as in a mixture of
    experts (Shazeer et al., 2017, arXiv 1701.06538).
    """

    def __init__(self, *, shape: TransformerShape, dropout: float = 0.1) -> None:
        super().__init__()
        d_model = shape.d_model
        self.shape = shape
        self.toggles = shape.toggles
        # Rows: the queries of all heads, then keys and values of head 0, of head 1, ... What a
        # toggle switches off lies together.
        self.attention_in = nn.Linear(d_model, 3 * d_model)
        self.attention_out = nn.Linear(d_model, d_model, bias=False)
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward_in = nn.Linear(d_model, shape.d_ffn)
        self.feed_forward_out = nn.Linear(shape.d_ffn, d_model)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("slopes", alibi_slopes(shape.nhead), persistent=False)
        self.slopes: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Whole utterances with every gate on.

        Arguments
        ---------
        x : Tensor
            (B, T, d_model).

        Returns
        -------
        Tensor
            (B, T, d_model).
        """
        heads = self._attend(x, None)
        x = x + self.dropout(self.attention_norm(self.attention_out(heads.flatten(2))))
        return x + self.dropout(self.feed_forward(x))

    def forward_relaxed(self, x: Tensor, gates: RelaxedBlockGates) -> Tensor:
        """Whole utterances with gates between 0 and 1, all differentiable.

        A key gate s enters the scores as log s and multiplies the value too, so that a frame whose
        keys are all off gets zeros from the head.

        Arguments
        ---------
        x : Tensor
            (B, T, d_model).
        gates : RelaxedBlockGates
            Of this block.

        Returns
        -------
        Tensor
            (B, T, d_model).
        """
        heads = self._attend(x, gates.key)  # (B, T, H, C)
        if gates.query is not None:
            heads = heads * gates.query[..., None].to(heads.dtype)
        branch = self.attention_norm(self.attention_out(heads.flatten(2)))
        if gates.query is not None:
            any_head = 1 - (1 - gates.query).prod(dim=-1, keepdim=True)
            branch = branch * any_head.to(branch.dtype)
        x = x + self.dropout(branch)
        return x + self.dropout(self._feed_forward_relaxed(x, gates.feed_forward.to(x.dtype)))

    def feed_forward(self, x: Tensor) -> Tensor:
        """The feed-forward branch with its norm.

        Arguments
        ---------
        x : Tensor
            (..., d_model).

        Returns
        -------
        Tensor
            (..., d_model).
        """
        return self.feed_forward_norm(self.feed_forward_out(F.gelu(self.feed_forward_in(x))))

    def _feed_forward_relaxed(self, x: Tensor, gate: Tensor) -> Tensor:
        """The feed-forward branch with gates of its groups, (B, T, G)."""
        if gate.shape[-1] == 1:
            return self.feed_forward(x) * gate
        inner = F.gelu(self.feed_forward_in(x)).unflatten(-1, (gate.shape[-1], -1))
        branch = self.feed_forward_out((inner * gate[..., None]).flatten(-2))
        any_group = 1 - (1 - gate).prod(dim=-1, keepdim=True)
        return self.feed_forward_norm(branch) * any_group

    def _attend(self, x: Tensor, key_gates: RelaxedGates | None) -> Tensor:
        """Outputs of the heads, (B, T, H, C)."""
        shape = self.shape
        projected = self.attention_in(x)  # (B, T, 3 d_model)
        query = projected[..., : shape.d_model].unflatten(-1, (shape.nhead, -1))
        key_value = projected[..., shape.d_model :].unflatten(-1, (shape.nhead, 2, -1))
        key, value = key_value.unbind(dim=3)
        key_bias = None
        if key_gates is not None:
            value = value * key_gates.value[..., None].to(value.dtype)
            key_bias = key_gates.log_value.transpose(1, 2)
        heads = causal_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            self.slopes,
            left_context_frames=shape.left_context_frames,
            key_bias=key_bias,
        )
        return heads.transpose(1, 2)
