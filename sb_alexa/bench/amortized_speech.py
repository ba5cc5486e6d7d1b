"""A trained model with gates, and the test speech that it hears."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sb_alexa.corpora.manifest import DATA_ROOT, Utterance, read_manifest
from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.inference.audio_sources import read_recording
from sb_alexa.inference.model_folder import Model, read_model_folder


@dataclass(frozen=True)
class SpeechBatch:
    """Recordings side by side.

    Arguments
    ---------
    utterances : tuple of Utterance
        B of them.
    samples : Tensor
        (B, N), padded on the right.
    num_samples : Tensor
        (B,).
    """

    utterances: tuple[Utterance, ...]
    samples: Tensor
    num_samples: Tensor


@dataclass(frozen=True)
class TestSpeech:
    """Utterances to be recognised; a recording is read when it is needed.

    Arguments
    ---------
    utterances : tuple of Utterance
        In the order of the manifest.
    sample_rate : int
        Of the model.
    """

    utterances: tuple[Utterance, ...]
    sample_rate: int

    # pytest collects classes by their names.
    __test__ = False

    @classmethod
    def read(
        cls,
        manifest: str | os.PathLike[str],
        data_root: str | os.PathLike[str] | None,
        *,
        sample_rate: int,
        max_utterances: int | None = None,
    ) -> TestSpeech:
        """Read a manifest.

        Arguments
        ---------
        manifest : str or path-like
            As the recipe writes it to ``<output>/prepared/splits/*.csv``.
        data_root : str or path-like, optional
            The recipe's `data_folder`; only needed where the manifest says ``$data_root``.
        sample_rate : int
            Of the model.
        max_utterances : int | None
            So many, evenly spread over the manifest; None for all.

        Returns
        -------
        TestSpeech
            At least one utterance.

        Raises
        ------
        FileNotFoundError
            If there is no such manifest.
        ValueError
            If it is empty or not a manifest, or needs a `data_root`.
        """
        utterances = read_manifest(manifest, "$data_root" if data_root is None else data_root)
        if not utterances:
            raise ValueError(f"manifest {manifest} holds no utterances; give that of a test split")
        if data_root is None and any(one.path.startswith(DATA_ROOT) for one in utterances):
            raise ValueError(
                f"manifest {manifest} names files below $data_root; say where that is with "
                "--data-root FOLDER, the data_folder of the recipe's run"
            )
        if max_utterances is not None:
            number = min(max_utterances, len(utterances))
            utterances = [utterances[i * len(utterances) // number] for i in range(number)]
        return cls(tuple(utterances), sample_rate)

    def batches(self, batch_size: int) -> Iterator[SpeechBatch]:
        """All utterances, those of similar duration together."""
        ordered = sorted(self.utterances, key=lambda one: one.duration_s)
        for start in range(0, len(ordered), batch_size):
            yield self.batch(ordered[start : start + batch_size])

    def typical_batch(self, batch_size: int) -> SpeechBatch:
        """Utterances around the median duration, which need little padding."""
        ordered = sorted(self.utterances, key=lambda one: one.duration_s)
        start = max(0, (len(ordered) - batch_size) // 2)
        return self.batch(ordered[start : start + batch_size])

    def batch(self, utterances: Sequence[Utterance]) -> SpeechBatch:
        """Read recordings."""
        recordings = [read_recording(one.path, self.sample_rate) for one in utterances]
        return SpeechBatch(
            tuple(utterances),
            torch.nn.utils.rnn.pad_sequence(recordings, batch_first=True),
            torch.tensor([len(recording) for recording in recordings]),
        )

    def stream(self, seconds: float) -> Tensor:
        """Utterances one after the other, spread over the manifest, until they last so long.

        Arguments
        ---------
        seconds : float
            Duration wanted; less where there is less speech.

        Returns
        -------
        Tensor
            (N,) samples.
        """
        total_s = sum(one.duration_s for one in self.utterances)
        stride = max(1, int(total_s / seconds))
        return torch.cat(
            [read_recording(one.path, self.sample_rate) for one in self.utterances[::stride]]
        )


def open_amortized_model(folder: str | Path) -> Model:
    """Open a model folder whose encoder has gates.

    Arguments
    ---------
    folder : str or Path
        As training writes it.

    Returns
    -------
    Model
        `hparams["encoder"]` is an `AmortizedTransformerEncoder`.

    Raises
    ------
    ValueError
        If it is not a model folder, or its encoder is another one.
    """
    model = read_model_folder(folder)
    encoder = model.hparams.get("encoder")
    if not isinstance(encoder, AmortizedTransformerEncoder):
        raise ValueError(
            f"{folder}: its encoder is a {type(encoder).__name__} and has no gates to measure; "
            "give a model with an AmortizedTransformerEncoder, such as `sb-alexa recipe "
            "LibriSpeech/ASR amortized_mini` trains"
        )
    return model
