"""Log-mel filter-bank energies that stream exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State

# About 100 dB below a full-scale sine: quieter than 16-bit quantisation noise, and the same for
# every chunk. (SpeechBrain clamps relative to the loudest frame of the utterance, which no stream
# can know.)
ENERGY_FLOOR = 1e-6


@dataclass(frozen=True)
class LogMelState(State):
    """The samples before the next chunk that its first windows still need, (B, window - hop)."""

    samples: Tensor


class LogMel(StreamingModule[LogMelState]):
    """Logarithms of mel filter-bank energies, framed causally.

    The window of frame t ends with sample ``(t + 1) * hop``; zeros stand before the first sample. A
    frame is therefore ready as soon as its hop has arrived, and any cutting of the audio gives the
    same frames. The Fourier transform is a matrix product, which exports to ONNX; its cost is
    negligible beside an encoder. Always computed in the precision of its buffers, autocast or not:
    energies span more than bfloat16 resolves.

    Arguments
    ---------
    sample_rate : int
        Samples per second.
    n_fft : int
        Size of the Fourier transform in samples.
    win_length : float
        Hamming window in milliseconds.
    hop_length : float
        Hop in milliseconds.
    n_mels : int
        Number of triangular filters on the HTK mel scale, each with peak 1.
    f_min : float
        Lower edge of the first filter in Hz.
    f_max : float | None
        Upper edge of the last filter in Hz; half the sample rate if None.

    Shape
    -----
    input : (B, N) samples in [-1, 1]
    output : (B, ceil(N / hop), n_mels), natural logarithms

    Streaming
    ---------
    No look-ahead; the state holds ``window - hop`` samples.

    Raises
    ------
    ValueError
        If the window is longer than the transform or shorter than the hop, or the edges are not
        ascending.

    Example
    -------
    >>> log_mel = LogMel(n_mels=64)
    >>> log_mel(torch.zeros(2, 1600)).shape
    torch.Size([2, 10, 64])
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_fft: int = 512,
        win_length: float = 25.0,
        hop_length: float = 10.0,
        n_mels: int = 64,
        f_min: float = 20.0,
        f_max: float | None = None,
    ) -> None:
        super().__init__()
        window = round(sample_rate * win_length / 1000)
        hop = round(sample_rate * hop_length / 1000)
        f_max = sample_rate / 2 if f_max is None else f_max
        if not 1 <= hop <= window <= n_fft:
            raise ValueError(
                f"hop_length={hop_length} ms, win_length={win_length} ms and n_fft={n_fft} must "
                f"satisfy hop <= window <= n_fft; they are {hop}, {window} and {n_fft} samples"
            )
        if not 0 <= f_min < f_max <= sample_rate / 2:
            raise ValueError(
                f"f_min={f_min} and f_max={f_max} Hz must satisfy "
                f"0 <= f_min < f_max <= {sample_rate / 2}"
            )
        if n_mels < 1:
            raise ValueError(f"n_mels must be >= 1, got {n_mels}")
        self.settings = (
            f"sample_rate={sample_rate}, n_fft={n_fft}, win_length={win_length}, "
            f"hop_length={hop_length}, n_mels={n_mels}, f_min={f_min}, f_max={f_max}"
        )
        self.sample_rate = sample_rate
        self.window = window
        self.hop = hop
        self.output_size = n_mels
        self.geometry = FrameGeometry(hop=hop, window=window)
        fourier = _windowed_fourier_matrix(window, n_fft)
        filters = melscale_fbanks(n_fft // 2 + 1, f_min, f_max, n_mels, sample_rate)
        # Constants of the constructor, not weights: they are rebuilt, never stored in a checkpoint.
        self.register_buffer("fourier", fourier.float(), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    fourier: Tensor
    filters: Tensor

    def extra_repr(self) -> str:
        # Feature statistics are kept for as long as this text stays the same.
        return self.settings

    def initial_state(self, batch_size: int) -> LogMelState:
        return LogMelState(self.zeros(batch_size, self.window - self.hop))

    def forward_chunk(
        self, x: Tensor, state: LogMelState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, LogMelState]:
        self.check_chunk(x)
        with torch.autocast(device_type=x.device.type, enabled=False):
            samples = torch.cat([state.samples, x.to(state.samples.dtype)], dim=1)
            kept = samples[:, samples.shape[1] - (self.window - self.hop) :]
            if x.shape[1] == 0:
                return self.zeros(x.shape[0], 0, self.output_size), LogMelState(kept)
            frames = samples.unfold(1, self.window, self.hop)  # (B, T, window)
            spectrum = frames @ self.fourier  # (B, T, 2 * bins): real parts, then imaginary parts
            bins = self.filters.shape[0]
            power = spectrum[..., :bins].square() + spectrum[..., bins:].square()
            return (power @ self.filters).clamp_min(ENERGY_FLOOR).log(), LogMelState(kept)


def _windowed_fourier_matrix(window: int, n_fft: int) -> Tensor:
    """(window, 2 * (n_fft / 2 + 1)): Hamming window times cosines, then times sines, in float64."""
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
    # Reduced modulo n_fft while still an integer, so that the angles stay small and exact.
    phase = (torch.arange(window)[:, None] * bins.long()) % n_fft
    angle = 2 * math.pi * phase.double() / n_fft
    hamming = torch.hamming_window(window, periodic=False, dtype=torch.float64)[:, None]
    return torch.cat([hamming * angle.cos(), -hamming * angle.sin()], dim=1)
