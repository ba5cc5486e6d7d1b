"""The report as one HTML page that needs no network."""

from __future__ import annotations

import random
from collections.abc import Sequence
from html import escape
from importlib.resources import files

import numpy as np

from sb_alexa.demo.interval_chart import interval_axis, interval_row
from sb_alexa.demo.learning_chart import learning_chart
from sb_alexa.demo.report import CAVEAT, DemoReport, accent_name, align
from sb_alexa.demo.results import Rate, RecognisedUtterance
from sb_alexa.demo.terminal import minutes
from sb_alexa.demo.time_line import time_line
from sb_alexa.report.document import html_document

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
    title = f"sb-alexa demo: {report.results.overall.wer:.1f} % WER"
    return html_document(title, "\n".join(sections), style=style)


def _head(report: DemoReport) -> str:
    overall = report.results.overall
    training = minutes(report.results.seconds_training)
    interval = f"{overall.low:.1f}–{overall.high:.1f}"
    figures = [
        (f"{overall.wer:.1f} %", f"word error rate, 95 % interval {interval}"),
        (f"{overall.num_speakers}", f"unseen speakers, {overall.num_words:,} words"),
        (training, f"of training, {report.num_steps:,} steps"),
    ]
    latency = report.figures()["live_latency_ms_p50"]
    if latency is not None:
        text = "from the end of a word to the word on the screen, median"
        figures.append((f"{latency:.0f} ms", text))
    tiles = "".join(f"<div><dt>{value}</dt><dd>{text}</dd></div>" for value, text in figures)
    return f"""<p class="overline">sb-alexa {escape(report.version)} demo</p>
<h1>A streaming speech recogniser, trained from scratch in {training}</h1>
<p class="lede">A ConvRNN-T with {report.num_parameters / 1e6:.2f} million parameters heard
{report.hours_training_speech:.1f} hours of speech by {report.num_training_speakers} speakers
on {escape(_machine(report))}. It was then tested on {overall.num_speakers} speakers it had never
heard, saying sentences it had never seen.</p>
<p class="caveat">{CAVEAT}</p>
<dl class="figures">{tiles}</dl>"""


def _learning(report: DemoReport) -> str:
    curve = report.results.curve
    chart = learning_chart(
        curve("train", "loss"),
        curve("valid", "loss"),
        curve("valid", "wer"),
        switch_seconds=report.results.seconds_at(report.ctc_only_steps),
    )
    return f"""<h2>Learning</h2>
<figure class="wide">{chart}<figcaption>
<span class="key train"></span>training speech &ensp; <span class="key valid"></span>development
speakers, whom it is not trained on. Both scales are logarithmic. At the dashed line the transducer
loss joins the CTC loss.</figcaption></figure>"""


def _accents(report: DemoReport) -> str:
    overall = report.results.overall
    rates = report.results.by_accent
    high = max(rate.high for rate in [*rates.values(), overall]) * 1.05 or 1.0
    rows = [_accent_row(accent_name(name), rate, overall, high) for name, rate in rates.items()]
    rows.append(_accent_row("All speakers", overall, overall, high, ' class="total"'))
    return f"""<h2>Accents</h2>
<figure><table>
<thead><tr><th>Accent</th><th class="number">Speakers</th><th class="number words">Words</th>
<th class="number">WER</th><th class="chart">{interval_axis(high)}</th></tr></thead>
<tbody>{"".join(rows)}</tbody>
</table>
<figcaption>Word error rate of the test speakers in percent. Bars are 95 % intervals from resampling
speakers, the dashed line is the rate over all. With so few speakers to an accent, differences
within the bars mean nothing.</figcaption></figure>"""


def _accent_row(name: str, rate: Rate, overall: Rate, high: float, attributes: str = "") -> str:
    chart = interval_row(rate, overall=overall.wer, high=high)
    return f"""<tr{attributes}><td>{escape(name)}</td><td class="number">{rate.num_speakers}</td>
<td class="number words">{rate.num_words:,}</td><td class="number">{rate.wer:.1f}</td>
<td class="chart">{chart}</td></tr>"""


def _live(report: DemoReport, samples: np.ndarray) -> str:
    transcript = report.longest_live
    assert transcript is not None
    speaker = transcript.utterance.split("-")[0]
    describe = report.results.describe
    gender = {"F": "female", "M": "male"}.get(describe(speaker, "gender"), "unknown")
    latency = transcript.latency
    delay = (
        f"{latency.median_ms:.0f} ms later in the median, "
        f"{latency.p90_ms:.0f} ms for nine words in ten"
        if latency.latencies_ms
        else "here, no word was right"
    )
    return f"""<h2>Streaming, live</h2>
<p>One sentence of speaker {escape(speaker)} ({gender} voice,
{escape(accent_name(describe(speaker, "accent")))}), the median test speaker by error rate, played
at the speed of speech in chunks of {transcript.chunk_ms:.0f} ms.</p>
<figure class="wide">{time_line(transcript, samples)}
<figcaption>Lines lead from the end of a word in the audio to the moment it stood complete on the
screen: {delay}.
Recognising took {100 * transcript.real_time_factor:.0f} % of the time.</figcaption></figure>
<p>{_marked(transcript.reference, transcript.hypothesis)}</p>"""


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
    return f"""<h2>Errors</h2>
<p>{perfect} Of the others, {len(examples)} drawn at random:
<del>said</del> and <ins>recognised instead</ins>.</p>
<ul class="errors">{items}</ul>"""


def _marked(reference: str, hypothesis: str) -> str:
    """One text: what was missed is struck out, and what was recognised instead follows it."""
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
    machine = report.machine
    software = f"Python {machine.get('python')}, torch {machine.get('torch')}"
    return f"""<h2>Use it</h2>
<p>The model is a folder. Transcribe a recording of yours, as a stream:</p>
<pre>sb-alexa transcribe {escape(report.model_folder)} recording.wav --stream</pre>
<p>The same recipe trains the paper-size model on real LibriSpeech:</p>
<pre>sb-alexa recipe LibriSpeech/ASR conv_rnnt --data_folder=/corpora/LibriSpeech</pre>
<footer>Made by <code>{escape(report.command)}</code> in {minutes(report.seconds_total)} on
{escape(_machine(report))}, {escape(str(machine.get("platform")))}, {escape(software)}.</footer>"""


def _machine(report: DemoReport) -> str:
    machine = report.machine
    if machine.get("gpu"):
        return str(machine["gpu"])
    cores = machine.get("threads", machine.get("cpu_cores"))
    return f"{cores} core{'s' if cores != 1 else ''} of {machine.get('cpu', 'a CPU')}"
