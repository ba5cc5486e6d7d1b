"""The report as one HTML page that needs no network."""

from __future__ import annotations

import random
from collections.abc import Sequence
from html import escape
from importlib.resources import files

import numpy as np

from sb_alexa.demo.charts import interval_row, learning_curve, percent_axis, time_line
from sb_alexa.demo.report import CAVEAT, DemoReport, accent_name, align
from sb_alexa.demo.results import Rate, RecognisedUtterance
from sb_alexa.demo.terminal import minutes

_NUM_EXAMPLES = 6


def render_page(report: DemoReport, live_samples: np.ndarray | None = None) -> str:
    """Render the report.

    Arguments
    ---------
    report : DemoReport
        A finished demo.
    live_samples : numpy.ndarray, optional
        Audio of `report.longest_live`, shape (N,).

    Returns
    -------
    html : str
        A whole document; style, charts and all are inside.
    """
    style = files("sb_alexa.demo").joinpath("page.css").read_text(encoding="utf-8")
    sections = [_head(report), _learning(report), _accents(report)]
    if report.longest_live is not None and live_samples is not None:
        sections.append(_live(report, live_samples))
    sections += [_errors(report.results.utterances), _usage(report)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>sb-alexa demo: {report.results.overall.wer:.1f} % WER</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(report: DemoReport) -> str:
    overall = report.results.overall
    training = minutes(report.results.seconds_training)
    figures = [
        (f"{overall.wer:.1f} %", f"word error rate, 95 % interval {overall.low:.1f}–{overall.high:.1f}"),
        (f"{overall.num_speakers}", f"unseen speakers, {overall.num_words:,} words"),
        (training, f"of training, {report.num_steps:,} steps"),
    ]
    if report.longest_live is not None:
        latency = report.longest_live.latency.median_ms
        figures.append((f"{latency:.0f} ms", "from the end of a word to the word on the screen, median"))
    tiles = "".join(f"<div><dt>{value}</dt><dd>{text}</dd></div>" for value, text in figures)
    return (
        f'<p class="overline">sb-alexa {escape(report.version)} demo</p>\n'
        f"<h1>A streaming speech recogniser, trained from scratch in {training}</h1>\n"
        f'<p class="lede">A ConvRNN-T with {report.num_parameters / 1e6:.2f} million parameters heard '
        f"{report.hours_training_speech:.1f} hours of speech by {report.num_training_speakers} speakers on "
        f"{escape(_machine(report))}. It was then tested on {overall.num_speakers} speakers it had never heard, saying "
        "sentences it had never seen.</p>\n"
        f'<p class="caveat">{CAVEAT}</p>\n<dl class="figures">{tiles}</dl>'
    )


def _learning(report: DemoReport) -> str:
    results = report.results
    chart = learning_curve(
        results.curve("train", "loss"), results.curve("valid", "loss"), results.curve("valid", "wer")
    )
    return (
        "<h2>Learning</h2>\n"
        f'<figure class="wide">{chart}<figcaption>'
        '<span class="key train"></span>training speech &ensp; '
        '<span class="key valid"></span>development speakers, whom it is not trained on. Both scales are logarithmic.'
        "</figcaption></figure>"
    )


def _accents(report: DemoReport) -> str:
    overall = report.results.overall
    rates = report.results.by_accent
    high = max(rate.high for rate in [*rates.values(), overall]) * 1.05 or 1.0
    rows = [_accent_row(accent_name(name), rate, overall, high) for name, rate in rates.items()]
    rows.append(_accent_row("All speakers", overall, overall, high, ' class="total"'))
    return (
        "<h2>Accents</h2>\n"
        "<figure><table><thead><tr><th>Accent</th><th class='number'>Speakers</th>"
        f"<th class='number words'>Words</th><th class='number'>WER</th><th class='chart'>{percent_axis(high)}</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        "<figcaption>Word error rate of the test speakers in percent. Bars are 95 % intervals from resampling speakers, "
        "the dashed line is the rate over all. With so few speakers to an accent, differences within the bars mean "
        "nothing.</figcaption></figure>"
    )


def _accent_row(name: str, rate: Rate, overall: Rate, high: float, attributes: str = "") -> str:
    chart = interval_row(rate, overall=overall.wer, high=high)
    return (
        f"<tr{attributes}><td>{escape(name)}</td><td class='number'>{rate.num_speakers}</td>"
        f"<td class='number words'>{rate.num_words:,}</td><td class='number'>{rate.wer:.1f}</td>"
        f"<td class='chart'>{chart}</td></tr>"
    )


def _live(report: DemoReport, samples: np.ndarray) -> str:
    transcript = report.longest_live
    assert transcript is not None
    speaker = transcript.utterance.split("-")[0]
    results = report.results
    latency = transcript.latency
    gender = {"F": "female", "M": "male"}.get(results.describe(speaker, "gender"), "unknown")
    busy = 100.0 * transcript.real_time_factor
    return (
        "<h2>Streaming, live</h2>\n"
        f"<p>One sentence of speaker {escape(speaker)} ({gender} voice, "
        f"{escape(accent_name(results.describe(speaker, 'accent')))}), the median test speaker by error rate, played at "
        f"the speed of speech in chunks of {transcript.chunk_ms:.0f} ms.</p>\n"
        f'<figure class="wide">{time_line(transcript, samples)}<figcaption>Lines lead from the end of a word in the audio '
        f"to the moment it stood complete on the screen: {latency.median_ms:.0f} ms later in the median, "
        f"{latency.p90_ms:.0f} ms for nine words in ten. Recognising kept one thread busy for {busy:.0f} % of the time."
        "</figcaption></figure>\n"
        f"<p>{_marked(transcript.reference, transcript.hypothesis)}</p>"
    )


def _errors(utterances: Sequence[RecognisedUtterance]) -> str:
    wrong = [utterance for utterance in utterances if utterance.counts.errors]
    perfect = f"{len(utterances) - len(wrong)} of {len(utterances)} test utterances have no error."
    if not wrong:
        return f"<h2>Errors</h2>\n<p>{perfect}</p>"
    # Drawn, not chosen; the same ones for the same run.
    examples = random.Random(0).sample(wrong, min(_NUM_EXAMPLES, len(wrong)))
    items = "".join(
        f"<li><span>{_marked(one.reference, one.hypothesis)}</span>"
        f'<span class="who">{escape(one.id)}</span></li>'
        for one in examples
    )
    return (
        f"<h2>Errors</h2>\n<p>{perfect} Of the others, {len(examples)} drawn at random: "
        "<del>said</del> and <ins>recognised instead</ins>.</p>\n"
        f'<ul class="errors">{items}</ul>'
    )


def _marked(reference: str, hypothesis: str) -> str:
    """One text in which what was said wrongly is struck out and what was recognised instead follows it."""
    said, shown = reference.lower().split(), hypothesis.lower().split()
    words = []
    for tag, i, j in align(said, shown):
        if tag == "equal" and i is not None:
            words.append(escape(said[i]))
            continue
        if i is not None:
            words.append(f"<del>{escape(said[i])}</del>")
        if j is not None:
            words.append(f"<ins>{escape(shown[j])}</ins>")
    return " ".join(words)


def _usage(report: DemoReport) -> str:
    folder = escape(report.model_folder)
    machine = report.machine
    return (
        "<h2>Use it</h2>\n<p>The model is a folder. Transcribe a recording of yours, as a stream:</p>\n"
        f"<pre>sb-alexa transcribe {folder} recording.wav --stream</pre>\n"
        "<p>The same recipe trains the paper-size model on real LibriSpeech:</p>\n"
        "<pre>sb-alexa recipe LibriSpeech/ASR conv_rnnt --data_folder=/corpora/LibriSpeech</pre>\n"
        "<footer>Made by <code>"
        f"{escape(report.command)}</code> in {minutes(report.seconds_total)} on {escape(_machine(report))}, "
        f"{escape(str(machine.get('platform', '')))}, Python {escape(str(machine.get('python', '')))}, "
        f"torch {escape(str(machine.get('torch', '')))}.</footer>"
    )


def _machine(report: DemoReport) -> str:
    machine = report.machine
    if machine.get("gpu"):
        return str(machine["gpu"])
    cores = machine.get("threads", machine.get("cpu_cores"))
    return f"{cores} core{'s' if cores != 1 else ''} of {machine.get('cpu', 'a CPU')}"
