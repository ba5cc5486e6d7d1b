"""The time line of a live transcription as SVG."""

from __future__ import annotations

from html import escape

import numpy as np

from sb_alexa.demo.live import LiveTranscript
from sb_alexa.demo.report import align
from sb_alexa.report import svg

_WIDTH, _LEFT = 720.0, 52.0
_SAID_Y, _WAVE_Y, _SHOWN_Y, _ROW_HEIGHT = 8.0, 74.0, 134.0, 17.0
# Mean width of a lower-case letter of the page's font, as a fraction of its size.
_LETTER = 0.56


def time_line(transcript: LiveTranscript, samples: np.ndarray) -> str:
    """Draw when words were said and when they stood on the screen, over the waveform.

    Arguments
    ---------
    transcript : LiveTranscript
        One utterance.
    samples : numpy.ndarray
        Its audio, shape (N,), any sample rate.

    Returns
    -------
    svg : str
        An `<svg>` element.
    """
    # Room for the label of the last word.
    last = max([transcript.duration_s, *(word.shown_s + 0.35 for word in transcript.shown)])
    scale = (_WIDTH - _LEFT) / last

    def x(seconds: float) -> float:
        return _LEFT + scale * seconds

    parts = [
        svg.text(0, _SAID_Y + 16, "said", "label"),
        svg.text(0, _WAVE_Y + 4, "audio", "label"),
        svg.text(0, _SHOWN_Y + 12, "shown", "label"),
        _waveform(samples, x(0), x(transcript.duration_s)),
    ]
    parts += [_box(w.text.lower(), x(w.start_s), x(w.end_s)) for w in transcript.spoken]
    pairs = align([w.text for w in transcript.spoken], [w.text for w in transcript.shown])
    right = {j: i for tag, i, j in pairs if tag == "equal" and i is not None and j is not None}
    for j, i in right.items():
        said_x, shown_x = x(transcript.spoken[i].end_s), x(transcript.shown[j].shown_s)
        parts.append(svg.line(said_x, _SAID_Y + 24, shown_x, _SHOWN_Y, "link"))
    labels, num_rows = _labels(transcript, set(right), scale)
    bottom = _SHOWN_Y + 16 + _ROW_HEIGHT * num_rows
    for seconds in np.arange(0, last, 0.5 if last < 8 else 1.0):
        parts.append(svg.text(x(seconds), bottom + 14, f"{seconds:g}", "label", anchor="middle"))
    parts.append(svg.text(_WIDTH, bottom + 14, "s", "label", anchor="end"))
    label = "Words as said and as shown, over time"
    return svg.drawing(_WIDTH, bottom + 20, label, *parts, labels)


def _labels(transcript: LiveTranscript, right: set[int], scale: float) -> tuple[str, int]:
    """The recognised words at their times, on as many rows as they need not to overlap."""
    row_ends: list[float] = []
    ticks, texts = [], []
    for j, word in enumerate(transcript.shown):
        at = _LEFT + scale * word.shown_s
        row = next((r for r, end in enumerate(row_ends) if end <= at), len(row_ends))
        row_ends[row : row + 1] = [at + len(word.text) * 12 * _LETTER + 10]
        wrong = "" if j in right else " wrong"
        drop = _ROW_HEIGHT * row
        ticks.append(svg.line(at, _SHOWN_Y, at, _SHOWN_Y + 10 + drop, f"tick{wrong}"))
        text = word.text.lower()
        texts.append(svg.text(at + 4, _SHOWN_Y + 12 + drop, text, f"word over{wrong}"))
    # Words come after the lines, which they interrupt.
    return "".join(ticks + texts), max(len(row_ends), 1)


def _box(text: str, left: float, right: float) -> str:
    """A spoken word; its letters shrink where the word is short."""
    size = min(12.0, max(7.0, (right - left - 2) / (len(text) * _LETTER)))
    return (
        f'<rect class="box" x="{left + 0.5:.1f}" y="{_SAID_Y:g}" '
        f'width="{max(right - left - 1, 1):.1f}" height="24" rx="3"/>'
        f'<text class="word" x="{(left + right) / 2:.1f}" y="{_SAID_Y + 16:g}" '
        f'text-anchor="middle" style="font-size:{size:.1f}px">{escape(text)}</text>'
    )


def _waveform(samples: np.ndarray, left: float, right: float) -> str:
    num_bars = max(int((right - left) / 1.5), 1)
    peaks = np.array([np.abs(part).max(initial=0.0) for part in np.array_split(samples, num_bars)])
    heights = 22.0 * peaks / max(float(peaks.max()), 1e-9)
    xs = np.linspace(left, right, num_bars)
    upper = list(zip(xs, _WAVE_Y - heights, strict=True))
    lower = list(zip(xs, _WAVE_Y + heights, strict=True))
    return svg.points("polygon", upper + lower[::-1], "wave")
