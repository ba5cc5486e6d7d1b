"""From a manifest to batches of crops with the numbers of their speakers."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sb_alexa.corpora.manifest import Utterance, read_audio
from sb_alexa.corpora.text_files import name_some
from sb_alexa.training.batching import ShardedBatchSampler, derive_seed
from sb_alexa.training.speaker_batching import SpeakerBatchPlan

SpeakerItem = tuple[Utterance, Tensor, int]

_FULL_SCALE = 32768
# A duration in seconds times a sample rate may fall a rounding error below a whole number.
_TOLERANCE_SAMPLES = 1e-3


@dataclass(frozen=True)
class SpeakerSpeechBatch:
    """Recordings of equal length and who speaks in them.

    Arguments
    ---------
    utterances : tuple of Utterance
        Their manifest lines.
    wavs : Tensor
        (B, N) samples without padding.
    speakers : Tensor
        (B,) int64 numbers of the speakers.
    sample_rate : int
        Samples per second.
    """

    utterances: tuple[Utterance, ...]
    wavs: Tensor
    speakers: Tensor
    sample_rate: int = 16_000

    def __len__(self) -> int:
        return self.wavs.shape[0]

    @property
    def seconds(self) -> float:
        """Seconds of speech."""
        return self.wavs.numel() / self.sample_rate

    def to(self, device: torch.device | str) -> SpeakerSpeechBatch:
        """The batch on another device."""
        return replace(
            self,
            wavs=self.wavs.to(device, non_blocking=True),
            speakers=self.speakers.to(device, non_blocking=True),
        )

    def pin_memory(self) -> SpeakerSpeechBatch:
        """Called by the data loader's pinning thread."""
        return replace(self, wavs=self.wavs.pin_memory(), speakers=self.speakers.pin_memory())

    def augmented(self, augmenter: Callable[[Tensor], Tensor]) -> SpeakerSpeechBatch:
        """Change the waveforms, for example by a `SpeakerAugmenter`.

        Arguments
        ---------
        augmenter : Callable
            Takes (B, N) and returns as many waveforms of one length.

        Returns
        -------
        SpeakerSpeechBatch
            The augmented batch.

        Raises
        ------
        ValueError
            If the number of waveforms changes.
        """
        wavs = augmenter(self.wavs)
        if wavs.ndim != 2 or len(wavs) != len(self):
            raise ValueError(
                f"the augmenter made {tuple(wavs.shape)} of waveforms {tuple(self.wavs.shape)}; it "
                "must return one waveform for each"
            )
        return replace(self, wavs=wavs)


class SpeakerDataset(Dataset[SpeakerItem]):
    """Random crops of the utterances of a manifest, counted through all epochs.

    Item n is a crop of utterance n % len(self) for epoch n // len(self), so the dataset has no
    state that loading processes would have to be told: `SpeakerBatchSampler` asks for the items of
    its epoch. Where a crop begins is a function of (seed, epoch, utterance id); only the crop is
    read. Recordings shorter than a crop are repeated.

    Arguments
    ---------
    utterances : sequence of Utterance
        The manifest.
    speaker_numbers : mapping of str to int
        The number of each speaker, from 0.
    crop_seconds : float | None
        Length of every crop; None gives whole recordings, of which those of equal length can form a
        batch.
    sample_rate : int
        Samples per second wanted; other files are resampled.
    seed : int
        Seed of the crops.
    cache_audio : bool
        Keep decoded recordings in memory as 16-bit integers (115 MB per hour, in each loading
        process); for small corpora.

    Raises
    ------
    ValueError
        If a number is out of range, there are no utterances, or a speaker has no number.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        speaker_numbers: Mapping[str, int],
        crop_seconds: float | None,
        sample_rate: int = 16_000,
        seed: int = 0,
        cache_audio: bool = False,
    ) -> None:
        if crop_seconds is not None and not round(crop_seconds * sample_rate) > 0:
            raise ValueError(
                f"crop_seconds={crop_seconds} must be > 0, or null for whole recordings"
            )
        if not utterances:
            raise ValueError("there are no utterances; check the splits and the length limits")
        strange = sorted({u.speaker for u in utterances} - set(speaker_numbers))
        if strange:
            raise ValueError(
                f"{len(strange)} speakers have no number: {name_some(strange)}; make "
                "speaker_numbers from all utterances of training"
            )
        self.utterances = list(utterances)
        self.speaker_numbers = dict(speaker_numbers)
        self.num_samples = None if crop_seconds is None else round(crop_seconds * sample_rate)
        self.sample_rate = sample_rate
        self.seed = seed
        self.cache: dict[int, Tensor] | None = {} if cache_audio else None

    def __len__(self) -> int:
        """Utterances in an epoch."""
        return len(self.utterances)

    def __getitem__(self, number: int) -> SpeakerItem:
        epoch, index = divmod(number, len(self))
        utterance = self.utterances[index]
        key = derive_seed(self.seed, epoch, zlib.crc32(utterance.id.encode()))
        samples = self._samples(index, place=key / 2**63)
        return utterance, samples, self.speaker_numbers[utterance.speaker]

    def _samples(self, index: int, place: float) -> Tensor:
        utterance = self.utterances[index]
        if self.cache is None:
            return read_crop(
                utterance.path,
                utterance.duration_s,
                place=place,
                num_samples=self.num_samples,
                sample_rate=self.sample_rate,
            )
        if index not in self.cache:
            samples = read_audio(utterance.path, self.sample_rate) * _FULL_SCALE
            self.cache[index] = samples.round().clamp(-_FULL_SCALE, _FULL_SCALE - 1).to(torch.int16)
        whole = self.cache[index]
        if self.num_samples is None:
            return whole.float() / _FULL_SCALE
        start = _crop_start(len(whole), self.num_samples, place)
        crop = whole[start : start + self.num_samples]
        return _repeated_to(crop, self.num_samples).float() / _FULL_SCALE


def read_crop(
    path: str, duration_s: float, *, place: float, num_samples: int | None, sample_rate: int
) -> Tensor:
    """Read a stretch of a recording; one that is too short is repeated.

    Arguments
    ---------
    path : str
        The audio.
    duration_s : float
        Its length in seconds.
    place : float
        Where the stretch lies, from 0 (at the beginning) to 1 (at the end).
    num_samples : int | None
        Length of the stretch; None for the whole recording.
    sample_rate : int
        Samples per second wanted; other audio is resampled.

    Returns
    -------
    Tensor
        (num_samples,) float32.

    Raises
    ------
    AudioError
        If the file cannot be read or is shorter than `duration_s`.

    Example
    -------
    >>> import soundfile
    >>> path = str(getfixture("tmp_path") / "ramp.wav")
    >>> soundfile.write(path, torch.arange(4).numpy() / 4, 16_000)
    >>> read_crop(path, 4 / 16_000, place=0.999, num_samples=2, sample_rate=16_000).tolist()
    [0.5, 0.75]
    >>> read_crop(path, 4 / 16_000, place=0.5, num_samples=6, sample_rate=16_000).tolist()
    [0.0, 0.25, 0.5, 0.75, 0.0, 0.25]
    """
    total = math.floor(duration_s * sample_rate + _TOLERANCE_SAMPLES)
    if num_samples is None:
        return read_audio(path, sample_rate)
    if total <= num_samples:
        return _repeated_to(read_audio(path, sample_rate), num_samples)
    start = _crop_start(total, num_samples, place)
    end = start + num_samples
    samples = read_audio(path, sample_rate, start_s=start / sample_rate, end_s=end / sample_rate)
    # Resampled audio may be a sample longer or shorter than asked for.
    return _repeated_to(samples, num_samples)


def _crop_start(total: int, num_samples: int, place: float) -> int:
    most = max(total - num_samples, 0)
    return min(int(place * (most + 1)), most)


def _repeated_to(samples: Tensor, num_samples: int) -> Tensor:
    return samples.repeat(-(-num_samples // len(samples)))[:num_samples]


class SpeakerBatchSampler(ShardedBatchSampler[SpeakerBatchPlan]):
    """The part of a `SpeakerBatchPlan` that one process works on.

    Yields item numbers of a `SpeakerDataset`; see `ShardedBatchSampler`.

    Example
    -------
    >>> plan = SpeakerBatchPlan(("a", "a", "b", "b"), num_speakers=2, utterances_per_speaker=2)
    >>> sampler = SpeakerBatchSampler(plan)
    >>> sampler.set_epoch(3)
    >>> sorted(number for batch in sampler for number in batch)
    [12, 13, 14, 15]
    """

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * len(self.plan.speakers)
        for batch in super().__iter__():
            yield [first + index for index in batch]


def speaker_loader(
    dataset: SpeakerDataset, sampler: SpeakerBatchSampler, *, num_workers: int = 0
) -> DataLoader[SpeakerSpeechBatch]:
    """A data loader over a plan of speakers.

    Arguments
    ---------
    dataset : SpeakerDataset
        The utterances of the plan.
    sampler : SpeakerBatchSampler
        Which of them form the batches of this process.
    num_workers : int
        Loading processes; 0 loads in the training process. The batches are the same.

    Returns
    -------
    DataLoader
        Of `SpeakerSpeechBatch`.

    Raises
    ------
    ValueError
        If the sampler is not for the dataset.
    """
    if not isinstance(sampler, SpeakerBatchSampler):
        raise ValueError(
            f"a SpeakerDataset does not go with a {type(sampler).__name__}: it needs a "
            "SpeakerBatchSampler, which counts through the epochs"
        )
    if sampler.plan.speakers != tuple(u.speaker for u in dataset.utterances):
        raise ValueError(
            "the batch plan is for other utterances than those of the dataset; make it from their "
            "speakers: tuple(utterance.speaker for utterance in utterances)"
        )

    # torch types a loader by the items of its dataset, whatever collate_fn makes of them.
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=partial(collate_speakers, sample_rate=dataset.sample_rate),
        pin_memory=torch.cuda.is_available(),
        # They keep the audio they have read from one epoch to the next.
        persistent_workers=num_workers > 0,
    )
    return loader


def collate_speakers(
    items: Sequence[SpeakerItem], *, sample_rate: int = 16_000
) -> SpeakerSpeechBatch:
    """Put recordings of equal length into a batch.

    Raises
    ------
    ValueError
        If they are of different lengths.
    """
    utterances, wavs, speakers = zip(*items, strict=True)
    lengths = sorted({len(wav) for wav in wavs})
    if len(lengths) > 1:
        raise ValueError(
            f"recordings of {lengths[0]} to {lengths[-1]} samples cannot form a batch without "
            "padding; set crop_seconds, or batch recordings of equal length"
        )
    return SpeakerSpeechBatch(
        tuple(utterances), torch.stack(wavs), torch.tensor(speakers), sample_rate
    )
