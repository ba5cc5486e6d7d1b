"""A recogniser small enough to be benchmarked within a test."""

from __future__ import annotations

import torch

from sb_alexa.bench.recogniser import Recogniser
from sb_alexa.encoders.rnn import LSTMEncoder
from sb_alexa.nn.feature_normalization import GlobalNormalization
from sb_alexa.nn.frame_stacking import FrameStacking
from sb_alexa.nn.log_mel import LogMel
from sb_alexa.streaming.sequential import StreamingSequential
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

MELS, HIDDEN, JOINT, LABELS = 8, 12, 10, 40


def build_tiny(*, tokens_per_second: float = 3.5, chunk_ms: float = 150.0) -> Recogniser:
    """An LSTM transducer with 30 ms frames."""
    torch.manual_seed(0)
    features = StreamingSequential(
        LogMel(n_mels=MELS),
        GlobalNormalization(num_features=MELS),
        FrameStacking(num_features=MELS, num_frames=3),
    )
    return Recogniser(
        name="tiny",
        prefix="tiny_",
        features=features,
        encoder=LSTMEncoder(
            input_size=3 * MELS, num_layers=2, hidden_size=HIDDEN, projection_size=JOINT
        ),
        predictor=LSTMPredictor(
            num_labels=LABELS, embedding_size=4, hidden_size=HIDDEN, output_size=JOINT
        ),
        joiner=Joiner(encoder_size=JOINT, predictor_size=JOINT, num_labels=LABELS),
        chunk_ms=chunk_ms,
        tokens_per_second=tokens_per_second,
    )
