"""A model of the real parts, small enough for tests, whose random weights say something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sb_alexa.corpora.word_pieces import train_word_pieces
from sb_alexa.inference.model_configuration import MODEL_KEYS, model_configuration
from sb_alexa.inference.model_folder import read_model_folder, write_model_folder
from sb_alexa.inference.safe_yaml import parse
from sb_alexa.inference.yaml_objects import build

RECIPE = """
sample_rate: 16000
num_labels: 17
lr: 0.001
n_mels: 8
features: !new:sb_alexa.streaming.sequential.StreamingSequential
    - !new:sb_alexa.nn.log_mel.LogMel {n_mels: !ref <n_mels>, sample_rate: !ref <sample_rate>}
    - !new:sb_alexa.nn.feature_normalization.GlobalNormalization {num_features: !ref <n_mels>}
    - !new:sb_alexa.nn.frame_stacking.FrameStacking {num_features: !ref <n_mels>, num_frames: 3}
encoder: !new:sb_alexa.encoders.conv_rnnt.ConvRNNTEncoder
    input_size: !ref <n_mels> * 3
    local_channels: [4, 4]
    global_dilations: (2, 4)
    num_layers: 2
    hidden_size: 12
    projection_size: 10
    time_stride: 2
predictor: !new:sb_alexa.transducer.lstm_predictor.LSTMPredictor
    num_labels: !ref <num_labels>
    embedding_size: 6
    hidden_size: 8
    output_size: 10
joiner: !new:sb_alexa.transducer.joiner.Joiner
    encoder_size: 10
    predictor_size: 10
    num_labels: !ref <num_labels>
    activation: !name:torch.nn.Tanh
ctc_head: !new:torch.nn.Linear {in_features: 10, out_features: !ref <num_labels>}
search: !new:sb_alexa.transducer.greedy.GreedySearch
    predictor: !ref <predictor>
    joiner: !ref <joiner>
    max_symbols_per_frame: 3
"""
SAMPLES_PER_FRAME = 960  # 3 stacked hops of 160 samples, 2 stacked by the encoder


def write_word_pieces(path: Path) -> Path:
    """16 pieces, so 17 labels with blank."""
    train_word_pieces(["TEA FOR TWO", "TWO TO TEA"], path, num_word_pieces=16, model_type="bpe")
    return path


def write_tiny_model(
    folder: Path, recipe: str = RECIPE, *, keys: Sequence[str] = MODEL_KEYS
) -> Path:
    """Write a model folder with random weights."""
    torch.manual_seed(1)
    configuration = model_configuration(recipe, keys=keys)
    hparams = build(parse(configuration, "test"))
    modules = {k: v for k, v in hparams.items() if isinstance(v, torch.nn.Module)}
    with torch.no_grad():
        normalization = modules["features"].layers[1]
        normalization.mean.fill_(-2.0)
        normalization.std.fill_(2.0)
        # Random weights otherwise give one label for ever, or blanks only.
        encoder = getattr(modules["encoder"], "lstm", modules["encoder"])
        for part in (encoder, modules["predictor"], modules["joiner"]):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(2.5)
        modules["joiner"].output.bias[0] += 0.8
    pieces = write_word_pieces(folder.parent / "word_pieces.model")
    write_model_folder(
        folder,
        configuration=configuration,
        modules=modules,
        word_pieces_path=pieces,
    )
    return folder


def tiny_parts(folder: Path) -> dict:
    """The arguments of a session."""
    model = read_model_folder(write_tiny_model(folder))
    return {
        "features": model.hparams["features"],
        "encoder": model.hparams["encoder"],
        "search": model.hparams["search"],
        "word_pieces": model.word_pieces,
    }


def noise(num_samples: int, seed: int = 4) -> torch.Tensor:
    """(num_samples,) of changing loudness and pitch: something for the model to react to.

    A shorter one is the beginning of a longer one.
    """
    hiss, loudness, pitch = (np.random.default_rng([seed, part]) for part in range(3))
    num_parts = num_samples // 800 + 1
    angle = np.cumsum(np.repeat(pitch.uniform(0.01, 1.5, num_parts), 800)[:num_samples])
    wave = np.sin(angle) + 0.3 * hiss.standard_normal(num_samples)
    envelope = np.repeat(loudness.uniform(0, 0.3, num_parts), 800)[:num_samples]
    return torch.from_numpy((wave * envelope).astype(np.float32))
