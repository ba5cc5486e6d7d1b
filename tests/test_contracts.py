"""Every streaming module of the package against every check of `contracts`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import sb_alexa
from sb_alexa.streaming.module import StreamingModule
from tests.contracts import CHECKS
from tests.streaming_case import Case

SMALL_CONV_RNNT = (
    "local_channels: [4, 3], local_kernel_size: 3, global_dilations: [1, 2], reduction_ratio: 2, "
    "num_layers: 2, hidden_size: 8, projection_size: 6}"
)
SMALL_TRANSFORMER = (
    "input_size: 6, d_model: 12, nhead: 3, num_layers: 2, d_ffn: 16, output_size: 5, "
    "left_context_frames: 3"
)
FEED_FORWARD = "feed_forward_arbitrator.FeedForwardArbitrator {bias: 0.0, hidden_size: 8"
RECURRENT = "recurrent_arbitrator.RecurrentArbitrator {bias: 0.0, hidden_size: 8"
RANDOM = "random_arbitrator.RandomArbitrator {query: 0.7, key: 0.7, feed_forward: 0.5"


def arbitrator(kind: str, num_blocks: int, groups: int = 1) -> str:
    return (
        f"!new:sb_alexa.nn.{kind}, input_size: 12, num_blocks: {num_blocks}, nhead: 3, "
        f"feed_forward_groups: {groups}}}"
    )


def amortized(*arbitrators: str, options: str = "toggle_every_frames: 1") -> str:
    return (
        "!new:sb_alexa.encoders.amortized.AmortizedTransformerEncoder {"
        f"{SMALL_TRANSFORMER}, {options}, arbitrators: [{', '.join(arbitrators)}]}}"
    )


SMALL_LSTM = "num_layers: 1, hidden_size: 6, projection_size: null, layer_norm: True"
MIXTURE_LSTM = f"!new:sb_alexa.encoders.rnn.LSTMEncoder {{input_size: 12, {SMALL_LSTM}}}"
CONV_RNNT_FRONT = (
    "!new:sb_alexa.encoders.conv_rnnt.ConvRNNTEncoder {input_size: 12, local_channels: [4, 3], "
    "local_kernel_size: 3, global_dilations: [1, 2], reduction_ratio: 2, num_layers: 1, "
    "hidden_size: 8, projection_size: 6}"
)


def separation(num_channels: int, mixture: str = MIXTURE_LSTM) -> str:
    part = f"!new:sb_alexa.encoders.rnn.LSTMEncoder {{input_size: 6, {SMALL_LSTM}}}"
    channels = ", ".join([part] * num_channels)
    return (
        "!new:sb_alexa.encoders.separation.SeparationEncoder "
        f"{{mixture: {mixture}, separation: [{channels}], recognition: {part}}}"
    )


CASES = [
    Case("frame_stacking", "!new:sb_alexa.nn.frame_stacking.FrameStacking {num_features: 4}"),
    Case("log_mel", "!new:sb_alexa.nn.log_mel.LogMel {n_mels: 8, n_fft: 512}"),
    Case(
        "global_normalization",
        "!new:sb_alexa.nn.feature_normalization.GlobalNormalization {num_features: 4}",
    ),
    Case("cohort_input", "!new:sb_alexa.nn.cohort_input.CohortInput {num_features: 4}"),
    Case("lstm", "!new:sb_alexa.nn.lstm.StreamingLSTM {input_size: 6, hidden_size: 8}"),
    Case(
        "lstm_block",
        "!new:sb_alexa.nn.lstm_block.LSTMBlock {input_size: 6, hidden_size: 8, projection_size: 6, "
        "residual: True, layer_norm: True}",
    ),
    Case(
        "causal_conv1d",
        "!new:sb_alexa.nn.causal_conv.CausalConv1d {in_channels: 6, out_channels: 4, "
        "kernel_size: 3, dilation: 2}",
    ),
    Case(
        "causal_conv1d_depthwise",
        "!new:sb_alexa.nn.causal_conv.CausalConv1d {in_channels: 6, out_channels: 3, "
        "kernel_size: 3, dilation: 4, groups: 3}",
    ),
    Case(
        "causal_conv1d_pointwise",
        "!new:sb_alexa.nn.causal_conv.CausalConv1d {in_channels: 6, out_channels: 4, "
        "kernel_size: 1}",
    ),
    Case(
        "causal_conv2d",
        "!new:sb_alexa.nn.causal_conv2d.CausalConv2d {num_bins: 7, in_channels: 2, "
        "out_channels: 4, kernel_size: 5, frequency_stride: 2}",
    ),
    Case(
        "causal_conv2d_winograd",
        "!new:sb_alexa.nn.causal_conv2d.CausalConv2d {num_bins: 7, in_channels: 16, "
        "out_channels: 2, kernel_size: 5}",
    ),
    Case(
        "squeeze_excitation",
        "!new:sb_alexa.nn.squeeze_excitation.CausalSqueezeExcitation {num_channels: 6, "
        "reduction_ratio: 2}",
    ),
    Case(
        "sequential",
        """!new:sb_alexa.streaming.sequential.StreamingSequential
  - !new:sb_alexa.nn.log_mel.LogMel
    n_mels: 4
  - !new:sb_alexa.nn.feature_normalization.GlobalNormalization
    num_features: 4
  - !new:sb_alexa.nn.frame_stacking.FrameStacking
    num_features: 4
""",
    ),
    Case(
        "local_cnn",
        "!new:sb_alexa.encoders.local_cnn.LocalCNN {input_size: 8, channels: [4, 3, 3]}",
    ),
    Case(
        "local_cnn_cheap",
        "!new:sb_alexa.encoders.local_cnn.LocalCNN {input_size: 12, output_size: 5, "
        "channels: [4, 6], kernel_size: 3, frequency_strides: [2, 1], stack_as_channels: 3, "
        "separable: True}",
    ),
    Case(
        "global_cnn_block",
        "!new:sb_alexa.encoders.global_cnn.GlobalCNNBlock {num_features: 6, dilation: 2, "
        "reduction_ratio: 2}",
    ),
    Case(
        "global_cnn",
        "!new:sb_alexa.encoders.global_cnn.GlobalCNN {num_features: 6, dilations: [2, 4], "
        "depthwise: False, reduction_ratio: 1}",
    ),
    Case("separation_encoder", separation(2)),
    Case("separation_encoder_one_channel", separation(1)),
    Case("separation_encoder_on_conv_rnnt", separation(2, CONV_RNNT_FRONT)),
    Case(
        "lstm_encoder",
        "!new:sb_alexa.encoders.rnn.LSTMEncoder {input_size: 6, num_layers: 2, hidden_size: 8, "
        "projection_size: 5}",
    ),
    Case(
        "conv_rnnt",
        "!new:sb_alexa.encoders.conv_rnnt.ConvRNNTEncoder {input_size: 12, " + SMALL_CONV_RNNT,
    ),
    Case(
        "conv_rnnt_local_only",
        "!new:sb_alexa.encoders.conv_rnnt.ConvRNNTEncoder {input_size: 12, use_global: False, "
        "time_stride: 2, " + SMALL_CONV_RNNT,
    ),
    Case(
        "conv_rnnt_global_only",
        "!new:sb_alexa.encoders.conv_rnnt.ConvRNNTEncoder {input_size: 12, use_local: False, "
        + SMALL_CONV_RNNT,
    ),
    Case(
        "conv_rnnt_small",
        "!new:sb_alexa.encoders.conv_rnnt.ConvRNNTEncoder {input_size: 12, stack_as_channels: 3, "
        "front_end_size: 4, time_stride: 2, residual: True, layer_norm: True, "
        "local_frequency_strides: [2, 2], local_separable: True, " + SMALL_CONV_RNNT,
    ),
    Case("feed_forward_arbitrator", arbitrator(FEED_FORWARD, 2)),
    Case("recurrent_arbitrator", arbitrator(RECURRENT, 2)),
    Case("random_arbitrator", arbitrator(RANDOM, 2), reads_input=False),
    Case(
        "replay_arbitrator",
        "!new:sb_alexa.bench.amortized_replay.ReplayArbitrator {arbitrator: "
        "!new:sb_alexa.nn.recurrent_arbitrator.RecurrentArbitrator {input_size: 12, num_blocks: 1, "
        "nhead: 1}, recording: !apply:torch.tensor [[[[True, False, True]], [[False, False, True]]]"
        "]}",
        reads_input=False,
    ),
    Case(
        "transformer",
        f"!new:sb_alexa.encoders.transformer.TransformerEncoder {{{SMALL_TRANSFORMER}}}",
    ),
    Case("amortized_single", amortized(arbitrator(FEED_FORWARD, 2)), decides=True),
    Case(
        "amortized_dual",
        amortized(arbitrator(FEED_FORWARD, 1), arbitrator(FEED_FORWARD, 1)),
        decides=True,
    ),
    Case(
        "amortized_groups",
        amortized(arbitrator(FEED_FORWARD, 2, groups=4), options="feed_forward_groups: 4"),
        decides=True,
    ),
    Case(
        "amortized_query",
        amortized(arbitrator(FEED_FORWARD, 2), options="toggles: query"),
        decides=True,
    ),
    Case(
        "amortized_key",
        amortized(arbitrator(RECURRENT, 2), options="toggles: key"),
        decides=True,
    ),
    Case(
        "amortized_dual_recurrent_in_groups",
        amortized(
            arbitrator(RECURRENT, 1), arbitrator(RECURRENT, 1), options="toggle_every_frames: 2"
        ),
        decides=True,
    ),
    # Its gates are known in any precision, so all of it is compared.
    Case("amortized_random", amortized(arbitrator(RANDOM, 2))),
    Case(
        "lstm_predictor",
        "!new:sb_alexa.transducer.lstm_predictor.LSTMPredictor {num_labels: 9, embedding_size: 4, "
        "hidden_size: 6, output_size: 5}",
        num_labels=9,
    ),
    Case(
        "stateless_predictor",
        "!new:sb_alexa.transducer.stateless_predictor.StatelessPredictor {num_labels: 9, "
        "embedding_size: 16, context_size: 3}",
        num_labels=9,
    ),
]
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contract(case: Case, check: Callable[[Case, str], None], device: str) -> None:
    check(case, device)


def _implementations() -> Iterator[type[StreamingModule[Any]]]:
    """All concrete streaming modules of the package, found by importing the files of all."""
    root = Path(sb_alexa.__file__).parent
    for path in _files_of_streaming_modules(root):
        importlib.import_module(".".join(path.relative_to(root.parent).with_suffix("").parts))
    open_classes: list[type[Any]] = [StreamingModule]
    while open_classes:
        for subclass in open_classes.pop().__subclasses__():
            open_classes.append(subclass)
            if subclass.__module__.startswith("sb_alexa.") and not subclass.__abstractmethods__:
                yield subclass


def _files_of_streaming_modules(root: Path) -> list[Path]:
    """Files with a class that derives from StreamingModule, also by way of others."""
    classes = {
        path: re.findall(r"^class (\w+)\(([^)]*)\)", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in sorted(root.rglob("*.py"))
        if "_assets" not in path.parts
    }
    known: set[str] = set()
    found = {"StreamingModule"}
    while found - known:
        known |= found
        found = {
            name
            for of_file in classes.values()
            for name, bases in of_file
            if known & set(re.findall(r"\w+", bases))
        }
    return [path for path, of_file in classes.items() if known & {name for name, _ in of_file}]


def test_every_implementation_is_listed() -> None:
    listed = {type(case.build()) for case in CASES}
    missing = {found.__qualname__ for found in _implementations() if found not in listed}
    assert not missing, f"add a Case to tests/test_contracts.py for {sorted(missing)}"
