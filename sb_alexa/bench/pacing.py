"""A joiner with random weights that emits labels at the rate of speech."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sb_alexa.transducer.joiner import Joiner

# LibriSpeech readers say 2.7 words a second; 2,500 word pieces write a word with about 1.3 labels.
TOKENS_PER_SECOND = 3.5


class PacedJoiner(nn.Module):
    """Let the encoder frame decide whether a blank or the joiner's best label comes out.

    A search over random weights emits nothing or as much as it may, and a constant bias on the
    blank does not help: a history that stops emitting is never left again, so the rate dies out
    within seconds. Here a frame emits if the digits far behind the point of its encoding, which are
    as good as random, say so: all models emit equally often, and the joiner's full cost is paid. A
    search over it must take `max_symbols_per_frame=1`, for the frame would say so again.

    Arguments
    ---------
    joiner : Joiner
        Computes the logits; it decides which label is emitted, but not whether.
    tokens_per_frame : float
        Expected labels for each encoder frame, between 0 and 1.

    Shape
    -----
    input, output : those of `Joiner`

    Raises
    ------
    ValueError
        If the rate is not between 0 and 1.

    Example
    -------
    >>> _ = torch.manual_seed(0)
    >>> joiner = Joiner(encoder_size=8, predictor_size=8, num_labels=5)
    >>> logits = PacedJoiner(joiner, tokens_per_frame=0.1)(torch.randn(10_000, 8), torch.randn(8))
    >>> round((logits.argmax(-1) != 0).double().mean().item(), 2)
    0.1
    """

    def __init__(self, joiner: Joiner, *, tokens_per_frame: float) -> None:
        super().__init__()
        if not 0 < tokens_per_frame < 1:
            raise ValueError(f"tokens_per_frame must lie between 0 and 1, got {tokens_per_frame}")
        self.joiner = joiner
        self.num_labels = joiner.num_labels
        self.tokens_per_frame = tokens_per_frame

    def project_encoder(self, encoder_out: Tensor) -> Tensor:
        return self.joiner.project_encoder(encoder_out)

    def project_predictor(self, predictor_out: Tensor) -> Tensor:
        return self.joiner.project_predictor(predictor_out)

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        logits = self.joiner(encoder_part, predictor_part)
        digits = encoder_part.double().sum(-1) * 1e5
        emits = digits - digits.floor() < self.tokens_per_frame
        logits[..., 0] = torch.where(emits, -1e4, 1e4).to(logits.dtype)
        return logits
