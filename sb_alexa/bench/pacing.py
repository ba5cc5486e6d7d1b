"""A joiner with random weights that emits labels at the rate of speech."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sb_alexa.transducer.joiner import Joiner

# LibriSpeech readers say 2.7 words a second; 2,500 word pieces write a word with about 1.3 labels.
TOKENS_PER_SECOND = 3.5


class PacedJoiner(nn.Module):
    """Decide by a hash of the joiner's inputs whether a blank or the best label comes out.

    A search over random weights emits nothing or as much as it may, and a constant bias on the
    blank does not help: a history that stops emitting is never left again, so the rate dies out
    within seconds. Here every evaluation emits with the same probability, decided by digits far
    behind the point of its inputs; all models emit equally often, and the joiner's full cost is
    paid.

    Arguments
    ---------
    joiner : Joiner
        Computes the logits; it decides which label is emitted, but not whether.
    tokens_per_frame : float
        Expected labels for each encoder frame.

    Shape
    -----
    input, output : those of `Joiner`

    Raises
    ------
    ValueError
        If the rate is not positive.

    Example
    -------
    >>> _ = torch.manual_seed(0)
    >>> joiner = Joiner(encoder_size=8, predictor_size=8, num_labels=5)
    >>> logits = PacedJoiner(joiner, tokens_per_frame=0.25)(torch.randn(10_000, 8), torch.randn(8))
    >>> round((logits.argmax(-1) != 0).double().mean().item(), 2)  # 0.2 / (1 - 0.2) = 0.25
    0.2
    """

    def __init__(self, joiner: Joiner, *, tokens_per_frame: float) -> None:
        super().__init__()
        if not tokens_per_frame > 0:
            raise ValueError(f"tokens_per_frame must be positive, got {tokens_per_frame}")
        self.joiner = joiner
        self.num_labels = joiner.num_labels
        # A frame is left at the first blank, so it emits p / (1 - p) labels on average.
        self.emission_probability = tokens_per_frame / (1.0 + tokens_per_frame)

    def project_encoder(self, encoder_out: Tensor) -> Tensor:
        return self.joiner.project_encoder(encoder_out)

    def project_predictor(self, predictor_out: Tensor) -> Tensor:
        return self.joiner.project_predictor(predictor_out)

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        logits = self.joiner(encoder_part, predictor_part)
        digits = (encoder_part.double().sum(-1) + predictor_part.double().sum(-1)) * 1e5
        emits = digits - digits.floor() < self.emission_probability
        logits[..., 0] = torch.where(emits, -1e4, 1e4).to(logits.dtype)
        return logits
