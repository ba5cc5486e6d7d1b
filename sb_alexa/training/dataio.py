"""From a manifest to batches of waveforms and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from sb_alexa.corpora.manifest import Utterance, read_audio
from sb_alexa.lengths import absolute_lengths, relative_lengths
from sb_alexa.training.batching import ShardedBatchSampler


@dataclass(frozen=True)
class SpeechBatch:
    """Utterances of one batch.

    Arguments
    ---------
    utterances : tuple of Utterance
        Their manifest lines.
    wavs : Tensor
        (B, N) samples, zero after the end.
    num_samples : Tensor
        (B,) int64.
    labels : Tensor
        (B, U) int64 labels, blank (0) after the end.
    num_labels : Tensor
        (B,) int64.
    """

    utterances: tuple[Utterance, ...]
    wavs: Tensor
    num_samples: Tensor
    labels: Tensor
    num_labels: Tensor

    def __len__(self) -> int:
        return self.wavs.shape[0]

    @property
    def wav_lens(self) -> Tensor:
        """(B,) SpeechBrain's relative lengths."""
        return relative_lengths(self.num_samples, self.wavs.shape[1])

    @property
    def seconds(self) -> float:
        """Seconds of speech, padding excluded."""
        return sum(utterance.duration_s for utterance in self.utterances)

    def to(self, device: torch.device | str) -> SpeechBatch:
        """The batch on another device."""
        return replace(
            self,
            wavs=self.wavs.to(device, non_blocking=True),
            num_samples=self.num_samples.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            num_labels=self.num_labels.to(device, non_blocking=True),
        )

    def pin_memory(self) -> SpeechBatch:
        """Called by the data loader's pinning thread."""
        return replace(
            self,
            wavs=self.wavs.pin_memory(),
            num_samples=self.num_samples.pin_memory(),
            labels=self.labels.pin_memory(),
            num_labels=self.num_labels.pin_memory(),
        )

    def augmented(self, augmenter: Callable[..., tuple[Tensor, Tensor]]) -> SpeechBatch:
        """Apply SpeechBrain's ``Augmenter`` to the waveforms; the labels follow the audio.

        An augmenter may change lengths (speed) and repeat the batch (``concat_original``,
        ``parallel_augment``); everything that belongs to an utterance is repeated in the same way.

        Arguments
        ---------
        augmenter : speechbrain.augment.augmenter.Augmenter
            Takes and returns (waveforms, relative lengths) and has ``replicate_labels``.

        Returns
        -------
        SpeechBatch
            The augmented batch.
        """
        wavs, wav_lens = augmenter(self.wavs, self.wav_lens)
        rows = torch.arange(len(self), device=self.labels.device)
        rows = augmenter.replicate_labels(rows)  # type: ignore[attr-defined]
        if len(rows) != len(wavs):
            raise ValueError(
                f"the augmenter returned {len(wavs)} waveforms for {len(rows)} labels; its "
                "augmentations must keep the number of utterances that replicate_labels reports"
            )
        return SpeechBatch(
            utterances=tuple(self.utterances[row] for row in rows.tolist()),
            wavs=wavs,
            num_samples=absolute_lengths(wav_lens, wavs.shape[1]),
            labels=self.labels[rows],
            num_labels=self.num_labels[rows],
        )


class SpeechDataset(Dataset[tuple[Utterance, Tensor, Tensor]]):
    """Waveform and labels of each utterance of a manifest.

    Arguments
    ---------
    utterances : sequence of Utterance
        The manifest.
    encode : Callable
        Text -> labels, for example ``WordPieces.encode``.
    sample_rate : int
        Samples per second wanted; other files are resampled.
    cache_audio : bool
        Keep decoded audio in memory as 16-bit integers (115 MB per hour); for small corpora.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        encode: Callable[[str], list[int]],
        sample_rate: int = 16000,
        cache_audio: bool = False,
    ) -> None:
        self.utterances = list(utterances)
        self.encode = encode
        self.sample_rate = sample_rate
        self.cache: dict[int, Tensor] | None = {} if cache_audio else None

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> tuple[Utterance, Tensor, Tensor]:
        utterance = self.utterances[index]
        labels = torch.tensor(self.encode(utterance.text), dtype=torch.long)
        return utterance, self._samples(index), labels

    def _samples(self, index: int) -> Tensor:
        if self.cache is not None and index in self.cache:
            return self.cache[index].float() / 32768
        samples = read_audio(self.utterances[index].path, self.sample_rate)
        if self.cache is not None:
            self.cache[index] = (samples * 32768).round().clamp(-32768, 32767).to(torch.int16)
            return self.cache[index].float() / 32768
        return samples


def collate(items: Sequence[tuple[Utterance, Tensor, Tensor]]) -> SpeechBatch:
    """Pad the items of a batch."""
    utterances, wavs, labels = zip(*items, strict=True)
    return SpeechBatch(
        utterances=tuple(utterances),
        wavs=pad_sequence(list(wavs), batch_first=True),
        num_samples=torch.tensor([len(wav) for wav in wavs]),
        labels=pad_sequence(list(labels), batch_first=True),
        num_labels=torch.tensor([len(one) for one in labels]),
    )


def speech_loader(
    dataset: SpeechDataset, sampler: ShardedBatchSampler, *, num_workers: int = 0
) -> DataLoader[SpeechBatch]:
    """A data loader over a sharded batch plan.

    Arguments
    ---------
    dataset : SpeechDataset
        The utterances of the plan.
    sampler : ShardedBatchSampler
        Which of them form the batches of this process.
    num_workers : int
        Loading processes; 0 loads in the training process.

    Returns
    -------
    DataLoader
        Of `SpeechBatch`.
    """
    # torch types a loader by the items of its dataset, whatever collate_fn makes of them.
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
    )
    return loader
