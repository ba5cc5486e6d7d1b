"""Models small enough to be benchmarked within a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa.assets import find_recipe
from sb_alexa.bench.models import RECIPE
from sb_alexa.bench.recogniser import Recogniser
from tests.bench.tiny_recogniser import build_tiny


@pytest.fixture
def tiny() -> Recogniser:
    return build_tiny()


@pytest.fixture
def tiny_yaml(tmp_path: Path) -> Path:
    """The recipe's ConvRNN-T with a few thousand parameters."""
    base = find_recipe(RECIPE).find_hparams("conv_rnnt").resolve()
    path = tmp_path / "tiny.yaml"
    path.write_text(f"""\
base: {base}
num_word_pieces: 30
n_mels: 8
joint_size: 12
embedding_size: 6
predictor:
    hidden_size: 12
encoder:
    local_channels: [3, 3]
    num_layers: 1
    hidden_size: 12
""")
    return path
