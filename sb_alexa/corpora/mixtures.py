"""Sound of simulated mixtures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sb_alexa.corpora.acoustics import coloured_noise
from sb_alexa.corpora.alignments import WordTimes
from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.mixture_plan import MixturePlan, PlannedTurn
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.resampling import fast_length, resample
from sb_alexa.corpora.room_responses import NoRoom, Rooms
from sb_alexa.corpora.source_audio import SourceAudio, read_source
from sb_alexa.turn import Turn

_PEAK = 0.95
# Manifests of other programs round durations to hundredths of a second.
_DURATION_TOLERANCE_S = 0.011


@dataclass(frozen=True)
class Mixture:
    """A mixture one can listen to.

    Arguments
    ---------
    id : str
        Its name.
    samples : numpy.ndarray
        float32 (N,), within -0.95..0.95.
    sample_rate : int
        Samples per second.
    turns : tuple of Turn
        Who says what, when; in order of start.
    """

    id: str
    samples: np.ndarray
    sample_rate: int
    turns: tuple[Turn, ...]


def render(
    plan: MixturePlan,
    read: Callable[[Utterance], SourceAudio] = read_source,
    rooms: Rooms | None = None,
    *,
    sample_rate: int = 16_000,
    word_times: WordTimes | None = None,
    trimmed: bool = False,
) -> Mixture:
    """Make the sound of a planned mixture; the same bits in any process.

    Rooms delay nothing: the direct sound of a turn starts at its planned sample. The first turn
    keeps the level of its recording and the others are set against it, by their power with
    reverberation; a mixture that would clip is made softer as a whole.

    Arguments
    ---------
    plan : MixturePlan
        From :func:`sb_alexa.corpora.mixture_plan.draw_plan`.
    read : callable
        Gives the audio of an utterance.
    rooms : Rooms, optional
        Where the mixture is recorded; by default there is no reverberation.
    sample_rate : int
        Samples per second of the mixture.
    word_times, trimmed
        See `MixturePlan.turns`.

    Returns
    -------
    Mixture
        round(plan.duration_s * sample_rate) samples: reverberation of the last turn is cut off.

    Raises
    ------
    AudioError
        If audio is missing, damaged or silent, or does not last as long as its manifest says.
    ValueError
        If the utterances are stored at different sample rates: a talker could be told by the band.
    """
    sources = _sources(plan, read, sample_rate)
    rooms = NoRoom() if rooms is None else rooms
    samples = np.zeros(round(plan.duration_s * sample_rate), dtype=np.float32)
    first_power = _power(sources[0])
    for turn, source in zip(plan.planned, sources, strict=True):
        speech = _in_room(source, rooms.response(plan.room, turn.seat, sample_rate))
        # Measured while the talker speaks, not over the echo.
        power = first_power * 10 ** (turn.level_db / 10)
        speech *= np.float32(np.sqrt(power / _power(speech[: source.size])))
        place = round(turn.start_s * sample_rate)
        heard = samples[place : place + speech.size]
        heard += speech[: heard.size]
    if plan.noise_snr_db is not None:
        samples += _noise(plan, samples.size, sample_rate, first_power)
    peak = float(np.abs(samples).max())
    if peak > _PEAK:
        samples *= np.float32(_PEAK / peak)
    return Mixture(plan.id, samples, sample_rate, plan.turns(word_times, trimmed=trimmed))


def _sources(
    plan: MixturePlan, read: Callable[[Utterance], SourceAudio], sample_rate: int
) -> list[np.ndarray]:
    audio = [read(turn.utterance) for turn in plan.planned]
    rates = {one.sample_rate: turn.utterance for one, turn in zip(audio, plan.planned, strict=True)}
    if len(rates) > 1:
        named = ", ".join(f"{u.path} at {rate} Hz" for rate, u in sorted(rates.items()))
        raise ValueError(
            f"{plan.id} mixes utterances stored at different sample rates ({named}): a talker "
            "could be told by the band; convert the corpus to one rate, or mix its parts apart"
        )
    return [_checked(one, turn, sample_rate) for one, turn in zip(audio, plan.planned, strict=True)]


def _checked(audio: SourceAudio, turn: PlannedTurn, sample_rate: int) -> np.ndarray:
    utterance = turn.utterance
    duration_s = audio.samples.size / audio.sample_rate
    if abs(duration_s - utterance.duration_s) > _DURATION_TOLERANCE_S:
        raise AudioError(
            f"lasts {duration_s} s, and {utterance.duration_s} s by the manifest; prepare the "
            "corpus again",
            utterance.path,
        )
    if not audio.samples.any():
        raise AudioError("silent: its level has no meaning; leave it out", utterance.path)
    if audio.sample_rate == sample_rate:
        return audio.samples
    return resample(audio.samples, rate_hz=audio.sample_rate, new_rate_hz=sample_rate)


def _power(samples: np.ndarray) -> float:
    # Not a dot product, which may add in another order on another number of threads.
    return float(np.mean(np.square(samples, dtype=np.float64)))


def _in_room(source: np.ndarray, response: np.ndarray | None) -> np.ndarray:
    """Convolve; the result is longer than the source by the echo of its last sample."""
    if response is None:
        return source.copy()
    num_samples = source.size + response.size - 1
    length = fast_length(num_samples)
    spectrum = np.fft.rfft(source, length) * np.fft.rfft(response, length)
    return np.fft.irfft(spectrum, length)[:num_samples].astype(np.float32)


def _noise(
    plan: MixturePlan, num_samples: int, sample_rate: int, speech_power: float
) -> np.ndarray:
    assert plan.noise_snr_db is not None
    rng = stream(plan.seed, Purpose.MIXTURE, plan.epoch, plan.index, 1)
    power = speech_power * 10 ** (-plan.noise_snr_db / 10)
    return coloured_noise(num_samples, sample_rate, plan.noise_slope, power, rng)
