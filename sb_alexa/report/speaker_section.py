"""Section of a page: how the word error rates of single speakers scatter."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from sb_alexa.report.audit_speakers import SpeakerSpread
from sb_alexa.report.estimate_text import number_text
from sb_alexa.report.html_table import TableRow, html_table
from sb_alexa.report.svg import drawing, line, points, text

_WIDTH, _HEIGHT, _BASE = 740.0, 168.0, 132.0
_MOST_COLUMNS = 40


def speaker_section(spread: SpeakerSpread) -> str:
    """Render a histogram of speakers and the hardest ones.

    Arguments
    ---------
    spread : SpeakerSpread
        As measured.

    Returns
    -------
    html : str
        Heading, text, figure and table.
    """
    low, middle, high = (number_text(value) for value in spread.percentiles)
    rows = [
        TableRow(
            [escape(one.speaker), f"{one.words:,.0f}", f"{one.errors:,.0f}", number_text(one.wer)]
        )
        for one in spread.hardest
    ]
    return f"""<h2 id="speakers">Speaker by speaker</h2>
<p>The median speaker has {middle}&nbsp;% errors; one in ten has less than {low}&nbsp;%, one in ten
more than {high}&nbsp;%. With few words these rates scatter by chance alone; here the median speaker
says {spread.median_words:,.0f}.</p>
<figure>{_histogram(spread)}<figcaption>Speakers by word error rate, %. The dashed mark is the
median speaker.</figcaption></figure>
<h3>Hardest speakers</h3>
{html_table(["Speaker", "Words", "Errors", "WER %"], rows)}"""


def _histogram(spread: SpeakerSpread) -> str:
    rates = np.array(spread.rates)
    step = _step(float(rates.max()))
    edges = step * np.arange(math.floor(rates.max() / step) + 2)
    counts, _ = np.histogram(rates, edges)
    width = _WIDTH / len(counts)
    most = max(int(counts.max()), 1)
    parts = []
    for number, count in enumerate(counts.tolist()):
        if count:
            left, right = number * width + 0.5, (number + 1) * width - 0.5
            top = _BASE - (_BASE - 20) * count / most
            corners = [(left, _BASE), (left, top), (right, top), (right, _BASE)]
            parts.append(points("polygon", corners, "column"))
    parts.append(line(0, _BASE, _WIDTH, _BASE, "grid"))
    every = max(1, math.ceil(len(edges) / 10))
    for number, edge in enumerate(edges.tolist()):
        if number % every == 0 and number < len(counts):
            parts.append(text(number * width, _BASE + 18, f"{edge:g}", "label"))
    middle = spread.percentiles[1] / step * width
    parts.append(line(middle, 12, middle, _BASE, "mark"))
    tallest = int(counts.argmax())
    where = (tallest + 0.5) * width
    anchor = "middle" if 60 < where < _WIDTH - 60 else "start" if where <= 60 else "end"
    parts.append(text(where, 14, f"{most:,} speakers", "label", anchor=anchor))
    said = f"histogram of {len(rates):,} speakers; most lie near {edges[tallest]:g} %"
    return drawing(_WIDTH, _HEIGHT, said, *parts)


def _step(highest: float) -> float:
    """Width of a column, percent: 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / _MOST_COLUMNS))
    return next(power * part for part in (1, 2, 5, 10) if highest / (power * part) < _MOST_COLUMNS)
