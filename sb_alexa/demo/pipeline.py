"""The demo from nothing to a report: corpus, preparation, training, test, live transcription."""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import sb_alexa
from sb_alexa.commands.figures import machine_description
from sb_alexa.corpora.librispeech_layout import default_splits, write_librispeech
from sb_alexa.corpora.manifest import read_manifest
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.demo.journal import DemoJournal
from sb_alexa.demo.live import LiveTranscript
from sb_alexa.demo.live_stage import Recording, choose_recordings, transcribe_recordings
from sb_alexa.demo.narration import Narrator
from sb_alexa.demo.page import render_page
from sb_alexa.demo.picture import write_picture
from sb_alexa.demo.plan import Plan, Stage
from sb_alexa.demo.progress import output_to_file, polling
from sb_alexa.demo.recipe_stage import RecipeCall, run_recipe_stages
from sb_alexa.demo.report import CAVEAT, DemoReport
from sb_alexa.demo.results import RunResults
from sb_alexa.demo.settings import DemoFiles, DemoSettings
from sb_alexa.demo.terminal import StatusLine, minutes

# Speech of the live stage: enough to see it work, not enough to bore.
_LIVE_SECONDS = 12.0


def run_demo(
    files: DemoFiles, settings: DemoSettings, *, live: bool, command: str, since: float
) -> DemoReport:
    """Run the demo, or what an interrupted one has left to do.

    Arguments
    ---------
    files : DemoFiles
        Where everything goes.
    settings : DemoSettings
        What to do.
    live : bool
        Whether to transcribe live at the end.
    command : str
        What was typed, for the report.
    since : float
        `time.monotonic()` when the program started.

    Returns
    -------
    report : DemoReport
        Its page and picture have been written.

    Raises
    ------
    ValueError
        If the folder holds a demo with other settings.
    """
    journal = DemoJournal(files.journal, asdict(settings))
    call = RecipeCall.plan(settings, files)
    with journal.working(since), output_to_file(files.log) as terminal:
        narrator = Narrator(_plan(settings, call), StatusLine(terminal))
        narrator.say(
            f"{textwrap.fill(CAVEAT, 90)}\n"
            f"Everything goes to {files.output}. Ctrl-C stops; the same command resumes.\n"
        )
        _write_corpus(files, settings, narrator)
        results = _train_and_test(files, call, journal, narrator)
        model = _open_model(files.model)
        transcripts: tuple[LiveTranscript, ...] = ()
        samples: np.ndarray | None = None
        if live:
            transcripts, samples = _transcribe(model, files, call, results, narrator)
        journal.complete()
        report = DemoReport(
            results=results,
            live=transcripts,
            hours_training_speech=_hours_of_training_speech(files),
            num_training_speakers=settings.num_train_speakers,
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            num_steps=call.num_steps,
            ctc_only_steps=call.ctc_only_steps,
            seconds_total=journal.seconds_total,
            command=command,
            model_folder=shlex.quote(str(files.model)),
            version=sb_alexa.__version__,
            machine=machine_description(),
        )
        with replaced_atomically(files.page) as temporary:
            temporary.write_text(render_page(report, samples), encoding="utf-8")
        write_picture(files.picture, report, samples)
        narrator.say(_summary(report, files))
    return report


def _plan(settings: DemoSettings, call: RecipeCall) -> Plan:
    """Expected seconds were measured on 2 cores; the plan corrects them as it goes."""
    return Plan(
        [
            Stage("corpus", "Corpus", 2.0 + 5.0 * settings.hours),
            Stage("prepare", "Prepare", 4.0 + 4.0 * settings.hours),
            Stage("train", "Train", 0.3 * call.num_steps),
            Stage("test", "Test", 12.0),
            Stage("live", "Live", _LIVE_SECONDS + 4.0, scales=False),
        ]
    )


def _write_corpus(files: DemoFiles, settings: DemoSettings, narrator: Narrator) -> None:
    splits = default_splits(
        num_train_speakers=settings.num_train_speakers, hours_of_training=settings.hours
    )
    num_speakers = sum(split.num_speakers for split in splits.values())

    def show() -> None:
        # A reader's folder appears when the reader is finished.
        written = sum(1 for split in splits for _ in (files.corpus / split).glob("*"))
        narrator.show(f"{written} of {num_speakers} speakers", written / num_speakers)

    narrator.begin("corpus")
    with polling(show):
        write_librispeech(files.corpus, seed=settings.seed, splits=splits, progress=False)
    narrator.done(f"{num_speakers} synthetic speakers in {files.corpus}")


def _train_and_test(
    files: DemoFiles, call: RecipeCall, journal: DemoJournal, narrator: Narrator
) -> RunResults:
    earlier = journal.is_done("recipe")
    if earlier:
        narrator.begin("test")
    else:
        run_recipe_stages(call, files, narrator)
        journal.finish("recipe")
    results = RunResults.read(files.model, call.test_split)
    overall = results.overall
    narrator.done(
        f"WER {overall.wer:.1f} % [{overall.low:.1f}, {overall.high:.1f}] on "
        f"{overall.num_speakers} unseen speakers"
        + (f", trained and tested earlier in {files.model}" if earlier else ""),
        timed=not earlier,
    )
    return results


def _open_model(folder: Path) -> Any:
    from sb_alexa.inference.asr import TransducerASR

    return TransducerASR.from_hparams(source=str(folder), savedir=str(folder))


def _transcribe(
    model: Any,
    files: DemoFiles,
    call: RecipeCall,
    results: RunResults,
    narrator: Narrator,
) -> tuple[tuple[LiveTranscript, ...], np.ndarray]:
    """Transcripts, and the audio of the one that the report shows."""
    narrator.begin("live")
    recordings = choose_recordings(
        results, corpus=files.corpus, split=call.test_split, max_seconds=_LIVE_SECONDS
    )
    transcripts = transcribe_recordings(model, recordings, results, narrator)
    longest: Recording = max(recordings, key=lambda recording: len(recording.samples))
    return transcripts, longest.samples.numpy()


def _hours_of_training_speech(files: DemoFiles) -> float:
    utterances = read_manifest(files.model / "prepared" / "train.csv", files.corpus)
    return sum(utterance.duration_s for utterance in utterances) / 3600.0


def _summary(report: DemoReport, files: DemoFiles) -> str:
    overall = report.results.overall
    return (
        f"\nWER {overall.wer:.1f} %, 95 % interval {overall.low:.1f} to {overall.high:.1f}, on "
        f"{overall.num_speakers} unseen speakers ({overall.num_words:,} words),\n"
        f"after {minutes(report.results.seconds_training)} of training; "
        f"{minutes(report.seconds_total)} in all.\n\n"
        f"Report              {files.page}\n"
        f"Picture             {files.picture}\n"
        f"Your own recording  sb-alexa transcribe {report.model_folder} recording.wav --stream\n"
        f"Live microphone     sb-alexa transcribe {report.model_folder} --microphone"
    )
