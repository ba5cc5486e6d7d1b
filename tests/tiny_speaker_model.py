"""A speaker model of the real parts, small enough for tests, and recordings for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import soundfile
import torch

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.encoders.speaker import SpeakerEncoder
from sb_alexa.inference.model_configuration import SPEAKER_KEYS, model_configuration
from sb_alexa.inference.model_folder import write_model_folder
from sb_alexa.inference.safe_yaml import parse
from sb_alexa.inference.yaml_objects import build
from tests.tiny_model import noise

SPEAKER_RECIPE = """
sample_rate: 16000
lr: 0.001
n_mels: 12
features: !new:sb_alexa.nn.log_mel.LogMel {n_mels: !ref <n_mels>, sample_rate: !ref <sample_rate>}
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [8, 8, 8, 8, 16]
    res2net_scale: 2
    attention_channels: 4
    se_channels: 4
    lin_neurons: 8
speaker_encoder: !new:sb_alexa.encoders.speaker.SpeakerEncoder
    features: !ref <features>
    embedding_model: !ref <embedding_model>
"""


def tiny_speaker_encoder(recipe: str = SPEAKER_RECIPE, seed: int = 1) -> SpeakerEncoder:
    """Random weights, in eval mode."""
    torch.manual_seed(seed)
    configuration = model_configuration(recipe, keys=SPEAKER_KEYS)
    return build(parse(configuration, "test"))["speaker_encoder"].eval()


def write_speaker_model(folder: Path, recipe: str = SPEAKER_RECIPE, seed: int = 1) -> Path:
    """Write a model folder with random weights."""
    write_model_folder(
        folder,
        configuration=model_configuration(recipe, keys=SPEAKER_KEYS),
        modules={"speaker_encoder": tiny_speaker_encoder(recipe, seed)},
    )
    return folder


def write_recordings(folder: Path, num_samples: Mapping[str, int]) -> list[Utterance]:
    """Noise of the given lengths at 16 kHz, by name; no two alike."""
    utterances = []
    for seed, (name, length) in enumerate(num_samples.items()):
        path = folder / f"{name.replace('/', '_')}.wav"
        # Loud from the first sample: `noise` may begin with silence.
        samples = 0.1 * noise(length, seed=seed) + 0.05 * torch.randn(length)
        soundfile.write(path, samples.numpy(), 16000, subtype="FLOAT")
        utterances.append(Utterance(name, length / 16000, str(path), name.split("/")[0], ""))
    return utterances
