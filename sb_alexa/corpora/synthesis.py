"""The speech engine: eSpeak NG called in-process, with exact times of words and phonemes."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sb_alexa.corpora.resampling import resample
from sb_alexa.corpora.word_times import (
    END,
    PHONEME,
    WORD,
    WORD_SEPARATOR,
    Event,
    Interval,
    intervals,
)

SAMPLE_RATE_HZ = 16000

_SYNCHRONOUS = 2
_BUFFER_MS = 200
_PHONEME_EVENTS = 0x0001
_DO_NOT_EXIT = 0x8000
_CHARACTER_POSITION = 1
_TEXT_IS_UTF8 = 1
_RATE, _VOLUME = 1, 2
# Louder output is compressed by the engine; levels are set later, in floating point.
_HALF_VOLUME = 50
# The engine keeps its data path in a buffer of 160 bytes and silently cuts what is longer.
_LONGEST_DATA_PATH = 150

_engine_exists = False


class _EventId(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


class _Voice(ctypes.Structure):
    # Only the first field of espeak_VOICE is read.
    _fields_ = [("name", ctypes.c_char_p)]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Speech:
    """What the engine returns for one sentence: clean samples, words and phonemes.

    Arguments
    ---------
    samples : numpy.ndarray
        float32, 16 kHz, shape (N,).
    words, phonemes : tuple of Interval
        In order, without the silences.
    """

    samples: np.ndarray
    words: tuple[Interval, ...]
    phonemes: tuple[Interval, ...]


def require_espeak() -> None:
    """Raise an ImportError that names the remedy when the engine is not installed."""
    if importlib.util.find_spec("espeakng_loader") is None:
        raise ImportError(
            "the embedded corpus needs the eSpeak NG engine (package espeakng-loader): "
            "pip install sb-alexa[corpus]"
        )


def accent_definition(accent_file: str) -> str:
    """Return the engine's own definition of an accent, such as ``gmw/en-US``.

    Arguments
    ---------
    accent_file : str
        Path of the definition below the ``lang`` folder of the engine's data.

    Raises
    ------
    ImportError
        If the engine is not installed.
    ValueError
        If the engine has no such accent.
    """
    require_espeak()
    import espeakng_loader

    path = Path(espeakng_loader.get_data_path()) / "lang" / accent_file
    if not path.is_file():
        raise ValueError(f"eSpeak NG has no accent {accent_file!r}: {path} does not exist")
    return path.read_text(encoding="utf-8")


class Engine:
    """One voice that speaks; at most one engine can exist in the life of a process.

    The engine is a library with global state: a second instance would steal the first one's
    output, and its samples depend on everything spoken before. The same bytes come from a fresh
    process, the same seed and the same sequence of calls, which is why every speaker gets a
    process of its own.

    Arguments
    ---------
    voice : str
        Text of an eSpeak voice file, with a ``name`` line.
    seed : int
        Seed of the engine's own random numbers (breath, flutter).

    Raises
    ------
    ImportError
        If the engine is not installed.
    RuntimeError
        If the process has had an engine already, or the engine refuses to start.
    ValueError
        If the engine does not accept the voice.
    """

    def __init__(self, *, voice: str, seed: int) -> None:
        global _engine_exists
        require_espeak()
        if _engine_exists:
            raise RuntimeError(
                "a process can hold one eSpeak NG engine; speak in a fresh process "
                "(sb_alexa.corpora.synthetic.synthesise does)"
            )
        _engine_exists = True
        self._chunks: list[np.ndarray] = []
        self._events: list[Event] = []
        self._library, self._rate_hz = _start_library()
        # The library keeps a bare pointer: the callback must outlive it.
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(seed)
        self._set_voice(voice)
        self._set_parameter(_VOLUME, _HALF_VOLUME)

    def speak(self, words: Sequence[str], *, rate_wpm: int) -> Speech:
        """Speak a sentence.

        Arguments
        ---------
        words : sequence of str
            Lower-case words without spaces, at least one.
        rate_wpm : int
            Speaking rate in words a minute, 80 to 450.

        Returns
        -------
        Speech

        Raises
        ------
        ValueError
            If there is no word, a word holds white space, or the rate is out of range.
        RuntimeError
            If the engine fails, or says nothing.
        """
        if not words or any(len(word.split()) != 1 for word in words):
            raise ValueError(f"words must be a non-empty list of single words, got {words!r}")
        if not 80 <= rate_wpm <= 450:
            raise ValueError(f"rate_wpm must be within 80..450 words a minute, got {rate_wpm}")
        self._chunks.clear()
        self._events.clear()
        self._set_parameter(_RATE, rate_wpm)
        data = WORD_SEPARATOR.join(words).encode() + b"\0"
        code = self._library.espeak_Synth(
            data, len(data), 0, _CHARACTER_POSITION, 0, _TEXT_IS_UTF8, None, None
        )
        if code != 0 or not self._chunks:
            raise RuntimeError(f"eSpeak NG failed with code {code} on {' '.join(words)!r}")
        samples = np.concatenate(self._chunks).astype(np.float32) / 32768
        word_intervals, phonemes = intervals(words, self._events, samples.size, self._rate_hz)
        resampled = resample(samples, rate_hz=self._rate_hz, new_rate_hz=SAMPLE_RATE_HZ)
        return Speech(resampled, word_intervals, phonemes)

    def _collect(self, samples, num_samples: int, events) -> int:
        if samples and num_samples > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        index = 0
        while events[index].type != 0:
            event = events[index]
            if event.type in (WORD, PHONEME, END):
                label = ""
                if event.type == PHONEME:
                    label = event.id.string.decode("utf-8", errors="replace")
                record = Event(event.type, event.text_position, event.sample, label)
                self._events.append(record)
            index += 1
        return 0

    def _set_voice(self, voice: str) -> None:
        # The library reads the file at once; it insists on an absolute path.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder).resolve() / "voice"
            path.write_text(voice, encoding="utf-8")
            code = self._library.espeak_SetVoiceByFile(os.fsencode(path))
        names = [line[5:].strip() for line in voice.splitlines() if line.startswith("name ")]
        current = self._library.espeak_GetCurrentVoice()
        spoken = current.contents.name.decode() if current and current.contents.name else None
        # A wrong voice is not always reported: the engine then keeps the previous one.
        if code != 0 or not names or spoken != names[-1]:
            raise ValueError(
                f"eSpeak NG did not accept the voice (code {code}, current voice {spoken!r}); "
                "check the voice file text and give it one name line"
            )

    def _set_parameter(self, parameter: int, value: int) -> None:
        code = self._library.espeak_SetParameter(parameter, value, 0)
        if code != 0:
            raise RuntimeError(f"eSpeak NG refused parameter {parameter} = {value} (code {code})")


def _start_library() -> tuple[ctypes.CDLL, int]:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    char_p, c_int = ctypes.c_char_p, ctypes.c_int
    library.espeak_Initialize.argtypes = [c_int, c_int, char_p, c_int]
    library.espeak_SetSynthCallback.argtypes = [_Callback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_SetVoiceByFile.argtypes = [char_p]
    library.espeak_GetCurrentVoice.argtypes = []
    library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
    library.espeak_SetParameter.argtypes = [c_int, c_int, c_int]
    library.espeak_Synth.argtypes = [
        char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    folder = espeakng_loader.get_data_path()
    options = _PHONEME_EVENTS | _DO_NOT_EXIT
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, _short_path(folder), options)
    if rate_hz <= 0:
        raise RuntimeError(
            f"eSpeak NG could not read its data in {folder}; reinstall it "
            "(pip install --force-reinstall espeakng-loader), in a shorter path if this one is long"
        )
    return library, rate_hz


def _short_path(folder: str) -> bytes:
    """Name a folder within the 159 bytes the engine keeps of its data path."""
    path = os.fsencode(folder)
    if len(path) > _LONGEST_DATA_PATH and os.path.isdir("/proc/self/fd"):
        # Left open for the life of the process: the engine reads dictionaries long after it starts.
        return b"/proc/self/fd/%d" % os.open(folder, os.O_RDONLY)
    return path
