"""A tiny model whose encoder has arbitrators, with random weights."""

from __future__ import annotations

from pathlib import Path

from tests.tiny_model import RECIPE, write_tiny_model

SAMPLES_PER_FRAME = 480
_BEFORE, _REST = RECIPE.split("encoder: ")
_AFTER = _REST[_REST.index("predictor: ") :]
_ENCODER = """\
encoder: !new:sb_alexa.encoders.amortized.AmortizedTransformerEncoder
    input_size: !ref <n_mels> * 3
    d_model: 12
    nhead: 2
    num_layers: 3
    d_ffn: 16
    output_size: 10
    left_context_frames: 8
    dropout: 0.1
    toggles: TOGGLES
    arbitrators:
        - !new:sb_alexa.nn.feed_forward_arbitrator.FeedForwardArbitrator
            input_size: 12
            num_blocks: 1
            nhead: 2
            hidden_size: 8
            bias: 0.0
        - ARBITRATOR
            input_size: 12
            num_blocks: 2
            nhead: 2
"""
ARBITRATORS = {
    "feed_forward": "!new:sb_alexa.nn.feed_forward_arbitrator.FeedForwardArbitrator",
    "recurrent": "!new:sb_alexa.nn.recurrent_arbitrator.RecurrentArbitrator",
    "random": "!new:sb_alexa.nn.random_arbitrator.RandomArbitrator",
}
_DENSE = """\
encoder: !new:sb_alexa.encoders.transformer.TransformerEncoder
    input_size: !ref <n_mels> * 3
    d_model: 12
    nhead: 2
    num_layers: 2
    d_ffn: 16
    output_size: 10
    left_context_frames: 8
"""
DENSE_RECIPE = _BEFORE + _DENSE + _AFTER


def gated_recipe(second: str = "random", toggles: str = "query_key") -> str:
    """A dual encoder: a feed-forward arbitrator for the first block, one of choice above it."""
    encoder = _ENCODER.replace("ARBITRATOR", ARBITRATORS[second]).replace("TOGGLES", toggles)
    return _BEFORE + encoder + _AFTER


def write_gated_model(folder: Path, second: str = "random", toggles: str = "query_key") -> Path:
    """Write a model folder with random weights."""
    return write_tiny_model(folder, gated_recipe(second, toggles))
