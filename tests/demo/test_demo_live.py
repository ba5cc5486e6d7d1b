"""Live transcription, with a clock that only moves when something takes time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sb_alexa.demo.live import (
    LiveTranscript,
    ShownWord,
    SpokenWord,
    transcribe_live,
)
from sb_alexa.demo.live_stage import choose_recordings
from tests.demo.fake_run import live_transcript, report


class Recogniser:
    """Says the next text of a list at every push, each taking 10 ms."""

    def __init__(self, texts: list[str], final: str) -> None:
        self.texts, self.final = iter(texts), final
        self.now = 100.0
        self.num_samples: list[int] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def push(self, chunk: torch.Tensor) -> str:
        self.num_samples.append(len(chunk))
        self.now += 0.010
        return next(self.texts)

    def finish(self) -> str:
        self.now += 0.005
        return self.final

    def run(self, num_samples: int, **options: object) -> tuple:
        return transcribe_live(
            torch.zeros(num_samples),
            push=self.push,
            finish=self.finish,
            chunk_samples=1600,
            clock=self.clock,
            sleep=self.sleep,
            **options,  # type: ignore[arg-type]
        )


def test_chunks_arrive_when_they_have_been_spoken() -> None:
    recogniser = Recogniser(["", "TURN", "TURN O"], "TURN ON")
    heard = []
    shown, compute_ms = recogniser.run(4000, on_text=lambda text, at: heard.append((text, at)))
    assert recogniser.num_samples == [1600, 1600, 800]
    # 100 ms of audio, then 10 ms of work; the last chunk is 50 ms long and is followed by finish.
    assert [round(at, 3) for _, at in heard] == [0.110, 0.210, 0.265]
    assert [round(ms) for ms in compute_ms] == [10, 10, 15]
    assert [(word.text, round(word.shown_s, 3)) for word in shown] == [
        ("TURN", 0.21),
        ("ON", 0.265),
    ]


def test_a_growing_word_is_complete_only_when_its_last_piece_is_there() -> None:
    recogniser = Recogniser(["KIT", "KITCH", "KITCHEN", "KITCHEN"], "KITCHEN")
    (word,), _ = recogniser.run(6400)
    assert word.text == "KITCHEN"
    assert word.shown_s == pytest.approx(0.310)


def test_a_slow_recogniser_falls_behind_and_the_times_say_so() -> None:
    recogniser = Recogniser(["", "", "A"], "A")
    push = recogniser.push

    def slow(chunk: torch.Tensor) -> str:
        recogniser.now += 0.5
        return push(chunk)

    recogniser.push = slow  # type: ignore[method-assign]
    (word,), _ = recogniser.run(4800)
    assert word.shown_s == pytest.approx(0.1 + 3 * 0.51 + 0.005)


def test_latency_is_from_the_end_of_the_word_for_right_words_only() -> None:
    transcript = LiveTranscript(
        utterance="u",
        duration_s=2.0,
        chunk_ms=160.0,
        spoken=(SpokenWord("TURN", 0.1, 0.5), SpokenWord("LEFT", 0.6, 1.0)),
        shown=(ShownWord("TURN", 0.75), ShownWord("LIFT", 1.2)),
        compute_ms=(10.0, 30.0),
    )
    assert transcript.latency.latencies_ms == (pytest.approx(250.0),)
    assert transcript.real_time_factor == pytest.approx(0.02)
    assert (transcript.reference, transcript.hypothesis) == ("TURN LEFT", "TURN LIFT")


def test_recordings_are_the_first_sentences_of_the_median_speaker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = report(tmp_path / "run").results
    monkeypatch.setattr("sb_alexa.demo.live_stage.read_audio", lambda path: torch.zeros(3 * 16000))
    median = results.median_speaker
    chosen = choose_recordings(results, corpus=tmp_path, split="test-clean", max_seconds=7.0)
    assert [one.utterance for one in chosen] == [f"{median}-1{median}-000{i}" for i in (0, 1)]
    assert chosen[0].alignment.name == f"{median}-1{median}.words.csv"
    one = choose_recordings(results, corpus=tmp_path, split="test-clean", max_seconds=1.0)
    assert len(one) == 1


def test_made_up_transcript_has_one_wrong_word() -> None:
    transcript = live_transcript()
    assert len(transcript.latency.latencies_ms) == len(transcript.spoken) - 1
