from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.sentences import CommandGrammar
from sb_alexa.corpora.synthesis import Engine
from sb_alexa.corpora.synthetic import Utterance, in_room, synthesise
from sb_alexa.corpora.voices import make_speakers

pytest.importorskip("espeakng_loader")


@lru_cache(maxsize=1)
def _spoken() -> tuple[Utterance, ...]:
    """Six sentences by each of 16 speakers: every accent and gender."""
    grammar, rng = CommandGrammar(), np.random.default_rng(0)
    sentences = [[grammar.draw("test", rng) for _ in range(6)] for _ in range(16)]
    return tuple(synthesise(make_speakers(16, seed=0), sentences, num_workers=2))


def _samples(utterance: Utterance, start_s: float, end_s: float) -> np.ndarray:
    return utterance.samples[round(start_s * 16000) : round(end_s * 16000)]


def _level_db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


def _same(one: Utterance, other: Utterance) -> bool:
    return (
        np.array_equal(one.samples, other.samples)
        and (one.text, one.words, one.phonemes) == (other.text, other.words, other.phonemes)
        and one.speaker == other.speaker
    )


def test_words_and_phonemes_are_the_text_in_order() -> None:
    assert len(_spoken()) == 96
    for utterance in _spoken():
        assert " ".join(word.label for word in utterance.words) == utterance.text
        bounds = [time for word in utterance.words for time in (word.start_s, word.end_s)]
        assert bounds == sorted(bounds)
        assert bounds[0] >= 0 and bounds[-1] <= utterance.duration_s
        assert all(0.03 < word.end_s - word.start_s < 1.5 for word in utterance.words)
        # The engine may give two sounds the same time, as l and w in "hallway".
        assert all(0 <= p.end_s - p.start_s < 0.5 for p in utterance.phonemes)
        assert len(utterance.phonemes) >= len(utterance.words)
        assert utterance.samples.dtype == np.float32
        assert 0.1 < np.abs(utterance.samples).max() < 1.0


def test_speech_lies_within_the_words() -> None:
    """Every word holds sound; before, after and in pauses there is none."""
    for utterance in _spoken():
        spoken = np.zeros(utterance.samples.size, dtype=bool)
        level_db = _level_db(utterance.samples)
        for word in utterance.words:
            assert _level_db(_samples(utterance, word.start_s, word.end_s)) > level_db - 25
            first = max(round((word.start_s - 0.02) * 16000), 0)
            spoken[first : round((word.end_s + 0.02) * 16000)] = True
        energy = np.square(utterance.samples, dtype=np.float64)
        assert energy[~spoken].sum() < 1e-3 * energy.sum(), utterance.text


def test_boundaries_are_where_the_sound_changes() -> None:
    """An s is the only sound that is louder above 5 kHz than below 2 kHz: it marks "seven"."""
    voice = make_speakers(1, seed=0)
    (utterance,) = synthesise(voice, [["one seven one seven one"]])
    spectrum = np.abs(
        np.fft.rfft(
            np.lib.stride_tricks.sliding_window_view(utterance.samples, 320)[::160]
            * np.hanning(320)
        )
    )
    hissing = spectrum[:, 100:].sum(1) > spectrum[:, :40].sum(1)
    hissing &= spectrum.sum(1) > 0.1 * spectrum.sum(1).max()
    starts_s = (np.flatnonzero(np.diff(hissing.astype(int)) == 1) + 1) * 0.01 + 0.01
    sevens_s = [word.start_s for word in utterance.words if word.label == "SEVEN"]
    assert starts_s == pytest.approx(sevens_s, abs=0.025)


def test_no_word_is_merged_with_its_neighbour() -> None:
    """The engine speaks these pairs as one word unless they are kept apart."""
    text = "put it on the table in the room of a man that is not for the house"
    (utterance,) = synthesise(make_speakers(1, seed=0), [[text]])
    firsts = {word.start_s for word in utterance.words}
    sounds = [phoneme.start_s for phoneme in utterance.phonemes]
    assert len(firsts) == len(text.split())
    for word in utterance.words:
        # A word that only shared its neighbour's time would have no sound of its own.
        assert any(word.start_s - 1e-9 <= start < word.end_s for start in sounds), word


def test_genders_differ_in_pitch_and_speakers_in_colour() -> None:
    pitch_hz: dict[str, list[float]] = {"F": [], "M": []}
    colours = []
    for speaker in range(16):
        mine = [u for u in _spoken() if u.speaker.speaker_id == speaker + 1]
        samples = np.concatenate([utterance.samples for utterance in mine])
        pitch_hz[mine[0].speaker.gender].append(_pitch_hz(samples))
        bands = np.array_split(np.abs(np.fft.rfft(samples))[: samples.size // 4], 24)
        colours.append(np.log([np.mean(band) for band in bands]))
    assert max(pitch_hz["M"]) < 160 < min(pitch_hz["F"])
    for index, colour in enumerate(colours):
        assert all(np.abs(colour - other).max() > 0.2 for other in colours[:index])


def _pitch_hz(samples: np.ndarray) -> float:
    frames = np.lib.stride_tricks.sliding_window_view(samples, 800)[::400]
    loud = frames[np.mean(np.square(frames), 1) > 0.5 * np.mean(np.square(samples))]
    power = np.square(np.abs(np.fft.rfft(loud * np.hanning(800), 2048)))
    correlation = np.fft.irfft(power)[:, 45:240]
    return float(16000 / np.median(45 + correlation.argmax(1)))


def test_the_number_of_workers_does_not_matter() -> None:
    speakers = make_speakers(5, seed=4)
    sentences = [["turn on the lamp", "call anna"]] * 5
    runs = [
        list(synthesise(speakers, sentences, seed=4, num_workers=num_workers))
        for num_workers in (1, 2, 3)
    ]
    for run in runs:
        order = [(utterance.speaker.speaker_id, utterance.index) for utterance in run]
        assert order == [(i, j) for i in range(1, 6) for j in range(2)]
        assert all(map(_same, runs[0], run))
    others = synthesise(speakers, sentences, seed=5, num_workers=2)
    assert not any(map(_same, runs[0], others))


def test_fewer_speakers_and_sentences_are_a_part_of_more() -> None:
    speakers = make_speakers(2, seed=0)
    many = list(synthesise(speakers, [["call anna", "stop the jazz"]] * 2))
    (one,) = synthesise(speakers[1:], [["call anna"]])
    assert _same(one, many[2])


def test_in_a_room_the_times_follow() -> None:
    for clean in _spoken()[::7]:
        recorded = in_room(clean, seed=0)
        delays = {
            round(b.start_s - a.start_s, 9)
            for a, b in zip(
                clean.words + clean.phonemes, recorded.words + recorded.phonemes, strict=True
            )
        }
        assert len(delays) == 1
        (delay_s,) = delays
        assert 0.1 <= delay_s <= 0.4
        correlation = np.correlate(recorded.samples, clean.samples[: 16000 // 2], "valid")
        assert int(np.abs(correlation).argmax()) == round(delay_s * 16000)
        assert np.abs(recorded.samples).max() <= 0.951
        assert _same(recorded, in_room(clean, seed=0))
        assert not _same(recorded, in_room(clean, seed=1))


def test_hardness_is_faster_and_noisier() -> None:
    sentences = [["set the heater in the kitchen to forty percent"] * 4]
    planted = {"gender": {"F": 1.0}}
    easy = list(synthesise(make_speakers(1, seed=0), sentences))
    hard = list(synthesise(make_speakers(1, seed=0, hardness=planted), sentences))
    for one, other in zip(easy, hard, strict=True):
        assert 0.65 < other.duration_s / one.duration_s < 0.9
        gaps_db = []
        for utterance in (one, other):
            recorded = in_room(utterance, seed=0)
            noise = recorded.samples[: round(0.9 * recorded.words[0].start_s * 16000)]
            gaps_db.append(_level_db(recorded.samples) - _level_db(noise))
        assert gaps_db[0] - gaps_db[1] > 8


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([["stop"]], "one list of sentences for each speaker, got 1 for 2"),
        ([["stop"], ["  "]], "a sentence is empty"),
    ],
)
def test_bad_sentences(sentences: Sequence[Sequence[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthesise(make_speakers(2, seed=0), sentences)


def test_a_speaker_twice() -> None:
    with pytest.raises(ValueError, match="speaker id occurs twice"):
        synthesise(make_speakers(1, seed=0) * 2, [["stop"], ["stop"]])


def test_without_the_engine_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install sb-alexa\[corpus\]"):
        synthesise(make_speakers(1, seed=0), [["stop"]])


def test_workers_need_not_load_torch() -> None:
    modules = "synthetic, librispeech_layout"
    code = f"import sys; from sb_alexa.corpora import {modules}; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert ran.stdout == "False\n"


def _second_engine(voice: str) -> str:
    Engine(voice=voice, seed=1)
    try:
        Engine(voice=voice, seed=1)
    except RuntimeError as error:
        return str(error)
    return "accepted"


def _bad_voice(voice: str) -> str:
    try:
        Engine(voice=voice, seed=1)
    except ValueError as error:
        return str(error)
    return "accepted"


def _bad_words(voice: str) -> list[str]:
    engine = Engine(voice=voice, seed=1)
    messages = []
    for words, rate_wpm in (([], 150), (["two words"], 150), (["one"], 1000)):
        try:
            engine.speak(words, rate_wpm=rate_wpm)
        except ValueError as error:
            messages.append(str(error))
    return messages


def _speak_from_a_long_path(job: tuple[str, str]) -> int:
    import espeakng_loader

    voice, folder = job
    long = Path(folder, *["x" * 60] * 3)
    long.parent.mkdir(parents=True)
    long.symlink_to(espeakng_loader.get_data_path())
    espeakng_loader.get_data_path = lambda: str(long)
    return Engine(voice=voice, seed=1).speak(["hello"], rate_wpm=150).samples.size


def test_one_engine_in_a_process() -> None:
    voice = make_speakers(1, seed=0)[0].voice_definition()
    ((_, message),) = map_in_fresh_processes(_second_engine, [voice])
    assert "one eSpeak NG engine; speak in a fresh process" in message


def test_a_voice_that_is_not_taken_is_an_error() -> None:
    voice = make_speakers(1, seed=0)[0].voice_definition()
    nameless = "\n".join(line for line in voice.splitlines() if not line.startswith("name "))
    for _, message in map_in_fresh_processes(_bad_voice, ["nonsense", nameless]):
        assert "did not accept the voice" in message


def test_bad_words_are_refused() -> None:
    voice = make_speakers(1, seed=0)[0].voice_definition()
    ((_, messages),) = map_in_fresh_processes(_bad_words, [voice])
    assert len(messages) == 3
    assert "single words" in messages[1] and "within 80..450" in messages[2]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_long_data_path_is_no_problem(tmp_path: Path) -> None:
    """The engine cuts its data path at 159 bytes."""
    voice = make_speakers(1, seed=0)[0].voice_definition()
    ((_, num_samples),) = map_in_fresh_processes(_speak_from_a_long_path, [(voice, str(tmp_path))])
    assert num_samples > 3000
