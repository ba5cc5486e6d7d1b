"""A model folder with gates and a test set for it, small enough to be benchmarked within a test."""

from __future__ import annotations

import re
from pathlib import Path

import soundfile
import torch

from sb_alexa.bench.amortized_replay import GateRecording
from sb_alexa.corpora.manifest import Utterance, write_manifest
from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.inference.model_configuration import model_configuration
from sb_alexa.inference.model_folder import write_model_folder
from sb_alexa.inference.safe_yaml import parse
from sb_alexa.inference.yaml_objects import build
from sb_alexa.nn.gates import ToggleLayout
from sb_alexa.nn.recurrent_arbitrator import RecurrentArbitrator
from tests.tiny_model import noise, write_word_pieces

_RECIPE = """
sample_rate: 16000
num_labels: 17
n_mels: 8
features: !new:sb_alexa.streaming.sequential.StreamingSequential
    - !new:sb_alexa.nn.log_mel.LogMel {n_mels: !ref <n_mels>}
    - !new:sb_alexa.nn.feature_normalization.GlobalNormalization {num_features: !ref <n_mels>}
    - !new:sb_alexa.nn.frame_stacking.FrameStacking {num_features: !ref <n_mels>, num_frames: 3}
encoder: !new:sb_alexa.encoders.amortized.AmortizedTransformerEncoder
    input_size: !ref <n_mels> * 3
    d_model: 12
    nhead: 2
    num_layers: 3
    d_ffn: 16
    output_size: 10
    left_context_frames: 6
    arbitrators:
        - !new:sb_alexa.nn.feed_forward_arbitrator.FeedForwardArbitrator
            input_size: 12
            num_blocks: 1
            nhead: 2
            hidden_size: 4
            bias: 0.0
        - !new:sb_alexa.nn.feed_forward_arbitrator.FeedForwardArbitrator
            input_size: 12
            num_blocks: 2
            nhead: 2
            hidden_size: 4
            bias: 0.0
predictor: !new:sb_alexa.transducer.stateless_predictor.StatelessPredictor
    num_labels: !ref <num_labels>
    embedding_size: 10
joiner: !new:sb_alexa.transducer.joiner.Joiner
    encoder_size: 10
    predictor_size: 10
    num_labels: !ref <num_labels>
ctc_head: !new:torch.nn.Linear {in_features: 10, out_features: !ref <num_labels>}
search: !new:sb_alexa.transducer.greedy.GreedySearch
    predictor: !ref <predictor>
    joiner: !ref <joiner>
    max_symbols_per_frame: 3
"""


def random_recording(
    frames: int, blocks: int = 2, nhead: int = 2, groups: int = 1
) -> GateRecording:
    """Gates of which half are on."""
    generator = torch.Generator().manual_seed(3)
    layout = ToggleLayout(groups, nhead)
    return GateRecording(
        torch.rand(frames, blocks, layout.count, generator=generator) < 0.5, layout
    )


def trained_encoder(
    toggles: str = "query_key", *, dual: bool = True
) -> AmortizedTransformerEncoder:
    """The encoder that replayed gates come from; its weights do not matter."""
    blocks = (1, 1) if dual else (2,)
    return AmortizedTransformerEncoder(
        input_size=5,
        d_model=6,
        nhead=2,
        num_layers=2,
        d_ffn=8,
        output_size=4,
        left_context_frames=3,
        arbitrators=[RecurrentArbitrator(input_size=6, num_blocks=n, nhead=2) for n in blocks],
        toggles=toggles,
    ).eval()


def write_tiny_amortized(folder: Path, *, groups: int = 1) -> Path:
    """Write a model folder with random weights and gates of which about half are on."""
    torch.manual_seed(2)
    recipe = re.sub(r"( +)(nhead: 2)", rf"\1\2\n\1feed_forward_groups: {groups}", _RECIPE)
    configuration = model_configuration(recipe)
    hparams = build(parse(configuration, "test"))
    modules = {key: value for key, value in hparams.items() if isinstance(value, torch.nn.Module)}
    write_model_folder(
        folder,
        configuration=configuration,
        modules=modules,
        word_pieces_path=write_word_pieces(folder.parent / "word_pieces.model"),
    )
    return folder


def write_test_speech(folder: Path, *, num_speakers: int = 3, per_speaker: int = 2) -> Path:
    """Write recordings of noise and their manifest, whose files lie below `$data_root`."""
    utterances = []
    for number in range(num_speakers * per_speaker):
        path = folder / f"{number}.wav"
        samples = noise(8000 + 1500 * number, seed=number)
        soundfile.write(path, samples.numpy(), 16000)
        speaker = str(number % num_speakers)
        duration_s = len(samples) / 16000
        utterances.append(Utterance(str(number), duration_s, str(path), speaker, "TEA FOR TWO"))
    write_manifest(folder / "test.csv", utterances, folder)
    return folder / "test.csv"
