"""A model for two talkers, small enough for tests, whose random weights say something."""

from __future__ import annotations

from pathlib import Path

from sb_alexa.inference.model_configuration import MODEL_KEYS
from tests.tiny_model import write_tiny_model

SAMPLES_PER_FRAME = 480  # 3 stacked hops of 160 samples

_PART = (
    "!new:sb_alexa.encoders.rnn.LSTMEncoder "
    "{input_size: 12, num_layers: 1, hidden_size: 12, projection_size: null}"
)
_RECIPE = """
sample_rate: 16000
num_word_pieces: 16
num_labels: !ref <num_word_pieces> + 3
turn_tokens: !new:sb_alexa.multitalker.turn_tokens.TurnTokens
    num_word_pieces: !ref <num_word_pieces>
    style: start_end
n_mels: 8
features: !new:sb_alexa.streaming.sequential.StreamingSequential
    - !new:sb_alexa.nn.log_mel.LogMel {n_mels: !ref <n_mels>, sample_rate: !ref <sample_rate>}
    - !new:sb_alexa.nn.feature_normalization.GlobalNormalization {num_features: !ref <n_mels>}
    - !new:sb_alexa.nn.frame_stacking.FrameStacking {num_features: !ref <n_mels>, num_frames: 3}
encoder: !new:sb_alexa.encoders.separation.SeparationEncoder
    mixture: !new:sb_alexa.encoders.rnn.LSTMEncoder
        input_size: !ref <n_mels> * 3
        num_layers: 1
        hidden_size: 12
        projection_size: null
    separation: SEPARATION
    recognition: PART
predictor: !new:sb_alexa.transducer.lstm_predictor.LSTMPredictor
    num_labels: !ref <num_labels>
    embedding_size: 6
    hidden_size: 8
    output_size: 12
joiner: !new:sb_alexa.transducer.joiner.Joiner
    encoder_size: 12
    predictor_size: 12
    num_labels: !ref <num_labels>
    activation: !name:torch.nn.Tanh
ctc_head: !new:torch.nn.Linear {in_features: 12, out_features: !ref <num_labels>}
search: !new:sb_alexa.transducer.channel_search.ChannelSearch
    num_channels: NUM_CHANNELS
    search: !new:sb_alexa.transducer.greedy.GreedySearch
        predictor: !ref <predictor>
        joiner: !ref <joiner>
        max_symbols_per_frame: 3
"""


def multitalker_recipe(num_channels: int = 2) -> str:
    """The model, with a separation encoder for each channel."""
    separation = "".join(f"\n      - {_PART}" for _ in range(num_channels))
    recipe = _RECIPE.replace("SEPARATION", separation).replace("PART", _PART)
    return recipe.replace("NUM_CHANNELS", str(num_channels))


RECIPE = multitalker_recipe()


def write_multitalker_model(folder: Path, recipe: str = RECIPE) -> Path:
    """Write a model folder with random weights."""
    return write_tiny_model(folder, recipe, keys=(*MODEL_KEYS, "turn_tokens"))
