"""Models of the recipes' YAML files with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sb_alexa.bench.recogniser import Recogniser

RECIPE = "LibriSpeech/ASR"
# The model that the benchmarks are about: its figures carry no prefix.
SUBJECT = "conv_rnnt"
DEFAULT_MODELS = (SUBJECT, "rnnt", "conformer")
_TITLES = {
    SUBJECT: "ConvRNN-T",
    "rnnt": "LSTM RNN-T",
    "conformer": "Conformer (SpeechBrain)",
    "sts": "Separator-Transducer-Segmenter",
}


def title(name: str) -> str:
    """Name of a model in tables.

    Example
    -------
    >>> title("conv_rnnt"), title("mine/wide.yaml")
    ('ConvRNN-T', 'wide')
    """
    return _TITLES.get(Path(name).stem, Path(name).stem)


def prefix(name: str) -> str:
    """What the names of a model's figures begin with.

    Example
    -------
    >>> prefix("conv_rnnt"), prefix("rnnt")
    ('', 'rnnt_')
    """
    stem = Path(name).stem
    return "" if stem == SUBJECT else f"{stem}_"


def build_hparams(name: str) -> dict[str, Any]:
    """Build the objects of one YAML of a recipe.

    Arguments
    ---------
    name : str
        Such as ``conv_rnnt``, of another recipe ``LibriCSS/ASR/sts``, or the path of a file of
        one's own.

    Returns
    -------
    dict
        SpeechBrain's ``hparams``.

    Raises
    ------
    ValueError
        If there is no such YAML, or it is not valid.
    """
    from sb_alexa.assets import find_recipe
    from sb_alexa.training.configuration import Configuration

    recipe, _, hparams = name.rpartition("/")
    if recipe and not name.endswith(".yaml"):
        path = find_recipe(recipe).find_hparams(hparams)
    else:
        path = find_recipe(RECIPE).find_hparams(name)
    # No data is read; the key only has to hold something.
    return Configuration.from_file(path, {"data_folder": "."}).build()


def build_recogniser(name: str, *, chunk_ms: float) -> Recogniser:
    """Build the streaming recogniser of one YAML.

    Arguments
    ---------
    name : str
        See `build_hparams`.
    chunk_ms : float
        Chunk wanted.

    Returns
    -------
    Recogniser
        With random weights, in evaluation mode.
    """
    hparams = build_hparams(name)
    return Recogniser(
        name=title(name),
        prefix=prefix(name),
        features=hparams["features"],
        encoder=hparams["encoder"],
        predictor=hparams["predictor"],
        joiner=hparams["joiner"],
        chunk_ms=chunk_ms,
        sample_rate=hparams["sample_rate"],
        num_channels=getattr(hparams["search"], "num_channels", None),
    )
