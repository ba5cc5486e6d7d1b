"""Rooms, noise and gaps for training speaker embeddings."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from speechbrain.augment.time_domain import DropChunk, DropFreq, pink_noise_like
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sb_alexa.corpora.audio import AudioInfo, inspect_audio
from sb_alexa.corpora.resampling import fast_length
from sb_alexa.corpora.room_responses import RoomFolder
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.training.speaker_dataio import read_crop

_SUFFIXES = (".wav", ".flac")
# More than any folder has responses, so that all are equally likely.
_ROOM_NUMBERS = 2**31
_LEAST_AMPLITUDE = 1e-12
# From white noise to noise that loses 6 dB in an octave.
_coloured_noise_like = partial(pink_noise_like, alpha_low=0.0, alpha_high=1.0)


class SpeakerAugmenter:
    """Makes recordings of a batch reverberant and noisy and takes parts of them away.

    Each recording is convolved with an impulse response, then mixed with noise, then deprived of
    frequency bands, then of stretches of time; each with a probability of its own, independently
    of other recordings. The length never changes and speech is not shifted in time. Random numbers
    come from torch's global generator alone, so whoever seeds it gets the same augmentation again.

    Arguments
    ---------
    room_folder : str or path-like, optional
        Impulse responses, measured or simulated: see
        :class:`~sb_alexa.corpora.room_responses.RoomFolder`. None for no reverberation.
    reverberation_probability : float
        With a room folder.
    noise_folder : str or path-like, optional
        WAV or FLAC files at any depth, such as MUSAN's `noise` and `music`; all files are equally
        likely. None takes synthetic noise, of a colour between white and pink for each recording.
    noise_probability : float
        Of noise.
    noise_snr_db : (float, float)
        Lowest and highest ratio of speech to noise power over the recording, uniform in decibels.
    drop_frequency_probability : float
        Of the loss of frequency bands.
    drop_chunk_probability : float
        Of the loss of stretches of time.
    drop_frequency : Callable, optional
        (B, N) -> (B, N); by default SpeechBrain's ``DropFreq``: one to three bands, each a
        twentieth of all frequencies wide and the same for all recordings of a batch that lose any.
    drop_chunk : Callable, optional
        (B, N), relative lengths (B,) -> (B, N); by default SpeechBrain's ``DropChunk``: one to
        three stretches of 0.06 s to 0.13 s.
    sample_rate : int
        Samples per second; responses and noise at other rates are resampled.

    Raises
    ------
    ValueError
        If a probability lies outside of 0 to 1, or the lowest SNR exceeds the highest.
    CorpusError
        If a folder holds no audio.
    AudioError
        If a file, when it is needed, cannot be read.

    Reference
    ---------
    Differs from SpeechBrain's ``AddReverb`` and ``AddNoise`` with files: convolution is linear
    (theirs is circular: the end of a recording echoes at its start), only the stretch of noise in
    use is read, and no place in a list of files is kept that an interrupted run would lose.

    Example
    -------
    >>> augmenter = SpeakerAugmenter(
    ...     noise_probability=1.0,
    ...     noise_snr_db=(10.0, 10.0),
    ...     drop_frequency_probability=0.0,
    ...     drop_chunk_probability=0.0,
    ... )
    >>> speech = torch.randn(2, 16_000)
    >>> noise = augmenter(speech) - speech
    >>> (10 * (speech**2).mean(1).div((noise**2).mean(1)).log10()).round(decimals=2).tolist()
    [10.0, 10.0]
    """

    def __init__(
        self,
        *,
        room_folder: str | os.PathLike[str] | None = None,
        reverberation_probability: float = 0.5,
        noise_folder: str | os.PathLike[str] | None = None,
        noise_probability: float = 0.5,
        noise_snr_db: Sequence[float] = (0.0, 15.0),
        drop_frequency_probability: float = 0.25,
        drop_chunk_probability: float = 0.25,
        drop_frequency: Callable[[Tensor], Tensor] | None = None,
        drop_chunk: Callable[[Tensor, Tensor], Tensor] | None = None,
        sample_rate: int = 16_000,
    ) -> None:
        probabilities = {
            "reverberation_probability": reverberation_probability,
            "noise_probability": noise_probability,
            "drop_frequency_probability": drop_frequency_probability,
            "drop_chunk_probability": drop_chunk_probability,
        }
        for name, value in probabilities.items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name}={value} must lie in 0 to 1; 0 leaves this step out")
        if (
            len(noise_snr_db) != 2
            or not all(map(math.isfinite, noise_snr_db))
            or noise_snr_db[0] > noise_snr_db[1]
        ):
            raise ValueError(
                f"noise_snr_db={list(noise_snr_db)} must be two numbers, the lowest SNR first"
            )
        self.rooms = None if room_folder is None else RoomFolder(room_folder)
        self.reverberation_probability = reverberation_probability
        self.noises = None if noise_folder is None else NoiseFolder(noise_folder)
        self.noise_probability = noise_probability
        self.noise_snr_db = (float(noise_snr_db[0]), float(noise_snr_db[1]))
        self.drop_frequency_probability = drop_frequency_probability
        self.drop_chunk_probability = drop_chunk_probability
        self.drop_frequency = DropFreq() if drop_frequency is None else drop_frequency
        if drop_chunk is None:
            limits = round(0.06 * sample_rate), round(0.13 * sample_rate)
            drop_chunk = DropChunk(drop_length_low=limits[0], drop_length_high=limits[1])
        self.drop_chunk = drop_chunk
        self.sample_rate = sample_rate

    def __call__(self, wavs: Tensor) -> Tensor:
        """Augment recordings.

        Arguments
        ---------
        wavs : Tensor
            (B, N) samples.

        Returns
        -------
        Tensor
            (B, N); the input is left as it is.
        """
        # Under autocast the convolutions of DropFreq return bfloat16: rounding noise at -46 dB.
        with torch.no_grad(), torch.autocast(wavs.device.type, enabled=False):
            wavs = wavs.clone()
            if self.rooms is not None:
                self._apply(self._reverberate, self.reverberation_probability, wavs)
            self._apply(self._add_noise, self.noise_probability, wavs)
            self._apply(self.drop_frequency, self.drop_frequency_probability, wavs)
            self._apply(self._drop_chunk, self.drop_chunk_probability, wavs)
        return wavs

    @staticmethod
    def _apply(step: Callable[[Tensor], Tensor], probability: float, wavs: Tensor) -> None:
        """Replace some of the recordings."""
        # Drawn where all devices draw the same.
        rows = (torch.rand(len(wavs)) < probability).nonzero().squeeze(1).to(wavs.device)
        if len(rows):
            wavs[rows] = step(wavs[rows])

    def _reverberate(self, wavs: Tensor) -> Tensor:
        """Convolve; the power stays that of the dry recording."""
        assert self.rooms is not None
        numbers = torch.randint(_ROOM_NUMBERS, (len(wavs),)).tolist()
        responses = [
            torch.from_numpy(self.rooms.response(number, 0, self.sample_rate)[: wavs.shape[1]])
            for number in numbers
        ]
        response = pad_sequence(responses, batch_first=True).to(wavs)  # (B, R)
        size = fast_length(wavs.shape[1] + response.shape[1] - 1)
        spectrum = torch.fft.rfft(wavs, size) * torch.fft.rfft(response, size)
        wet = torch.fft.irfft(spectrum, size)[:, : wavs.shape[1]]  # (B, N)
        return wet * (_amplitude(wavs) / _amplitude(wet))

    def _add_noise(self, wavs: Tensor) -> Tensor:
        low_db, high_db = self.noise_snr_db
        snr_db = (low_db + (high_db - low_db) * torch.rand(len(wavs), 1)).to(wavs)
        if self.noises is None:
            noise = _coloured_noise_like(wavs)
        else:
            noise = self.noises.draw(len(wavs), wavs.shape[1], self.sample_rate).to(wavs)
        return wavs + noise * (_amplitude(wavs) / _amplitude(noise) * 10 ** (-snr_db / 20))

    def _drop_chunk(self, wavs: Tensor) -> Tensor:
        return self.drop_chunk(wavs, wavs.new_ones(len(wavs)))


def _amplitude(wavs: Tensor) -> Tensor:
    """(B, 1) root mean square, never 0."""
    return wavs.square().mean(dim=1, keepdim=True).sqrt().clamp_min(_LEAST_AMPLITUDE)


class NoiseFolder:
    """Noise from a folder of WAV or FLAC files.

    Arguments
    ---------
    folder : str or path-like
        Searched at all depths.

    Raises
    ------
    CorpusError
        If it holds no audio.

    Example
    -------
    >>> import soundfile
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "hum.wav", torch.full((100,), 0.5).numpy(), 16_000)
    >>> NoiseFolder(folder).draw(2, 300, 16_000).unique().tolist()
    [0.5]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        root = Path(folder)
        self._paths = sorted(
            str(path) for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES
        )
        if not self._paths:
            raise CorpusError(f"{root} holds no noise: expected WAV or FLAC files")
        self._infos: dict[str, AudioInfo] = {}

    def __len__(self) -> int:
        """Files."""
        return len(self._paths)

    def draw(self, num_stretches: int, num_samples: int, sample_rate: int) -> Tensor:
        """Stretches of noise at random places of random files; short files are repeated.

        Arguments
        ---------
        num_stretches : int
            How many.
        num_samples : int
            Length of each.
        sample_rate : int
            Samples per second.

        Returns
        -------
        Tensor
            (num_stretches, num_samples).

        Raises
        ------
        AudioError
            If a file cannot be read.
        """
        files = torch.randint(len(self._paths), (num_stretches,)).tolist()
        places = torch.rand(num_stretches).tolist()
        stretches = [
            read_crop(
                self._paths[file],
                self._info(self._paths[file]).duration_s,
                place=place,
                num_samples=num_samples,
                sample_rate=sample_rate,
            )
            for file, place in zip(files, places, strict=True)
        ]
        return torch.stack(stretches)

    def _info(self, path: str) -> AudioInfo:
        if path not in self._infos:
            self._infos[path] = inspect_audio(path, full_decode=False)
        return self._infos[path]
