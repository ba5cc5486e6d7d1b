"""A run folder as the recipe leaves it, with made-up results: the report without the training."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np

from sb_alexa.demo.live import LiveTranscript, ShownWord, SpokenWord
from sb_alexa.demo.report import DemoReport
from sb_alexa.demo.results import RunResults

ACCENTS = (
    "american",
    "british",
    "received_pronunciation",
    "scottish",
    "caribbean",
    "new_york",
    "lancaster",
    "west_midlands",
)
SENTENCES = (
    "turn on the lamp in the kitchen",
    "call four one nine two six six",
    "set the bedroom to twenty degrees on friday morning",
    "add onions and rice to my shopping list",
    "what is the weather in london on sunday",
)
MACHINE = {
    "cpu": "Example CPU @ 2.50GHz",
    "cpu_cores": 2,
    "threads": 2,
    "memory_gib": 15.5,
    "gpu": None,
    "platform": "Linux-6.1-x86_64",
    "python": "3.11.7",
    "torch": "2.11.0",
}


def write_run(folder: Path, *, num_speakers: int = 32, split: str = "test-clean") -> Path:
    """Write train_log.jsonl, wer/<split>.jsonl and prepared/speakers.csv; return the folder."""
    rng = random.Random(0)
    (folder / "wer").mkdir(parents=True)
    (folder / "prepared").mkdir()
    _write_log(folder / "train_log.jsonl", rng)
    table = ["speaker,gender,accent"]
    lines = []
    for number in range(num_speakers):
        speaker = str(30001 + number)
        table.append(f"{speaker},{'FM'[number // 8 % 2]},{ACCENTS[number % 8]}")
        hardness = 0.02 + 0.05 * rng.random()
        for index in range(12):
            reference = SENTENCES[rng.randrange(len(SENTENCES))].upper()
            heard = [
                rng.choice(["THE", "ON", "FIVE"]) if rng.random() < hardness else w
                for w in reference.split()
            ]
            name = f"{speaker}-1{speaker}-{index:04d}"
            row = {
                "id": name,
                "speaker": speaker,
                "reference": reference,
                "hypothesis": " ".join(heard),
            }
            lines.append(json.dumps(row))
    (folder / "wer" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "prepared" / "speakers.csv").write_text("\n".join(table) + "\n")
    return folder


def _write_log(path: Path, rng: random.Random) -> None:
    events = []
    for step in range(10, 1201, 10):
        seconds = 0.25 * step
        loss = 60 * math.exp(-step / 200) + 0.5 + 0.2 * rng.random()
        events.append(
            {"event": "train", "step": step, "epoch": 1, "seconds": seconds, "loss": loss}
        )
        if step % 120 == 0:
            wer = 95 * math.exp(-step / 250) + 4.5 + rng.random()
            event = {
                "event": "valid",
                "step": step,
                "epoch": 1,
                "seconds": seconds,
                "loss": loss * 1.2,
                "wer": wer,
            }
            events.append(event)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def live_transcript() -> LiveTranscript:
    """One utterance with a wrong word, shown 0.2 to 0.4 s after it was said."""
    rng = random.Random(1)
    spoken, shown, at = [], [], 0.3
    for word in SENTENCES[2].upper().split():
        length = 0.05 + 0.05 * len(word)
        spoken.append(SpokenWord(word, at, at + length))
        at += length + 0.02
        chunk_end = math.ceil((at + 0.15 + 0.15 * rng.random()) / 0.16) * 0.16
        shown.append(ShownWord("THIRTY" if word == "TWENTY" else word, chunk_end + 0.006))
    duration_s = at + 0.35
    compute_ms = tuple(5 + rng.random() for _ in range(math.ceil(duration_s / 0.16)))
    return LiveTranscript(
        "30004-130004-0002", duration_s, 160.0, tuple(spoken), tuple(shown), compute_ms
    )


def samples_of(transcript: LiveTranscript) -> np.ndarray:
    """Noise where words are said."""
    rng = np.random.default_rng(0)
    samples = 0.01 * rng.standard_normal(int(transcript.duration_s * 16000))
    for word in transcript.spoken:
        begin, end = int(word.start_s * 16000), int(word.end_s * 16000)
        samples[begin:end] += 0.3 * np.hanning(end - begin) * rng.standard_normal(end - begin)
    return samples


def report(folder: Path) -> DemoReport:
    """The report of the made-up run."""
    return DemoReport(
        results=RunResults.read(write_run(folder), "test-clean"),
        live=(live_transcript(),),
        hours_training_speech=3.02,
        num_training_speakers=96,
        num_parameters=1_912_345,
        num_steps=1200,
        ctc_only_steps=250,
        seconds_total=412.0,
        command="sb-alexa demo",
        model_folder="results/demo/model",
        version="0.1.0",
        machine=MACHINE,
    )
