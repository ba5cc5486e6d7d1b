"""The report: one page that stands alone, and one picture."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.demo.interval_chart import interval_axis, interval_row
from sb_alexa.demo.learning_chart import learning_chart, log_ticks
from sb_alexa.demo.page import render_page
from sb_alexa.demo.picture import write_picture
from sb_alexa.demo.report import CAVEAT, DemoReport
from sb_alexa.demo.results import Rate, RecognisedUtterance
from sb_alexa.demo.time_line import time_line
from tests.demo.fake_run import samples_of
from tests.html_page import parse


@pytest.fixture
def samples(report: DemoReport) -> np.ndarray:
    assert report.longest_live is not None
    return samples_of(report.longest_live)


@pytest.fixture
def html(report: DemoReport, samples: np.ndarray) -> str:
    return render_page(report, samples)


def test_page_needs_nothing_from_outside(html: str) -> None:
    assert re.findall(r"(?:src|href)\s*=|url\(|@import|https?:", html) == []
    assert "script" not in parse(html).seen


def test_page_says_what_was_measured(html: str, report: DemoReport) -> None:
    text = " ".join(parse(html).text.split())
    overall = report.results.overall
    assert f"{overall.wer:.1f} %" in text
    assert f"{overall.low:.1f}–{overall.high:.1f}" in text
    assert CAVEAT in text
    for accent, rate in report.results.by_accent.items():
        assert accent.replace("_", " ").title() in text
        assert f"{rate.wer:.1f}" in text
    assert report.command in text and str(report.machine["cpu"]) in text
    assert "1.91 million parameters" in text
    assert "trained from scratch in 5 min" in text


def test_page_marks_what_was_missed_and_what_came_instead(html: str) -> None:
    assert "<del>twenty</del> <ins>thirty</ins>" in html


def test_page_without_the_live_stage(report: DemoReport) -> None:
    text = parse(render_page(replace(report, live=()))).text
    assert "Streaming, live" not in text
    assert "word on the screen" not in text
    assert "Accents" in text


def test_page_when_nothing_was_recognised_live(report: DemoReport, samples: np.ndarray) -> None:
    silent = replace(report.live[0], shown=())
    text = parse(render_page(replace(report, live=(silent,)), samples)).text
    assert "no word was right" in text
    assert "nan" not in text


def test_page_without_errors(report: DemoReport) -> None:
    utterances = tuple(replace(u, hypothesis=u.reference) for u in report.results.utterances)
    perfect = replace(report, results=replace(report.results, utterances=utterances), live=())
    text = parse(render_page(perfect)).text
    assert f"{len(utterances)} of {len(utterances)} test utterances have no error." in text


def test_page_of_a_run_that_logged_nothing(report: DemoReport) -> None:
    empty = replace(report, results=replace(report.results, events=()))
    assert "nothing was logged" in parse(render_page(empty)).text


def test_page_escapes_what_it_is_given(report: DemoReport) -> None:
    nasty = RecognisedUtterance("<b>", "<i>", "A <SCRIPT>", "A & B")
    odd = replace(
        report,
        results=replace(report.results, utterances=(nasty,)),
        command="sb-alexa demo --output '<x>'",
        live=(),
    )
    assert not {"b", "i", "script", "x"} & parse(render_page(odd)).seen


def points_of(svg: str, kind: str) -> list[tuple[float, float]]:
    (found,) = re.findall(rf'class="{kind}" points="([^"]*)"', svg)
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found.split())]


def test_learning_curve_is_to_scale() -> None:
    loss = [(0.0, 100.0), (60.0, 10.0), (120.0, 1.0)]
    svg = learning_chart(loss, [], [(120.0, 50.0)])
    (x0, y0), (x1, y1), (x2, y2) = points_of(svg, "curve train")
    # Minutes are linear and decades equally high.
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.11) and y1 > y0
    assert "50.0 %" in svg


def test_interval_row_is_to_scale() -> None:
    svg = interval_row(Rate(5.0, 2.5, 10.0, 4, 100), overall=5.0, high=10.0)
    (low, high), (dot,) = (
        re.findall(r'class="interval" x1="([\d.]+)".* x2="([\d.]+)" y2', svg)[0],
        re.findall(r'cx="([\d.]+)"', svg),
    )
    assert (float(dot) - float(low)) * 2 == pytest.approx(float(high) - float(dot), abs=0.2)
    assert ">0<" in interval_axis(10.0)


def test_time_line_joins_the_right_words_only(report: DemoReport, samples: np.ndarray) -> None:
    transcript = report.live[0]
    svg = time_line(transcript, samples)
    assert svg.count('class="box"') == len(transcript.spoken)
    assert svg.count('class="link"') == len(transcript.spoken) - 1
    assert svg.count('class="tick wrong"') == 1


@pytest.mark.parametrize(
    "low, high", [(100.0, 100.0), (0.3, 0.3), (0.8, 130.0), (3e-4, 9e5), (0.7, 60.0)]
)
def test_log_ticks_hold_the_data(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    assert ticks == sorted(ticks)
    assert ticks[0] <= low * 10 and ticks[-1] * 10 >= high


def test_picture_is_drawn(report: DemoReport, samples: np.ndarray, tmp_path: Path) -> None:
    import matplotlib.image

    for name, one, audio in (
        ("live.png", report, samples),
        ("test.png", replace(report, live=()), None),
    ):
        write_picture(tmp_path / name, one, audio)
        picture = matplotlib.image.imread(tmp_path / name)
        assert picture.shape[1] == 1430
        # A tenth of a percent of the pixels have the colour of the charts.
        blue = np.abs(picture[..., :3] - np.array([0x1F, 0x5F, 0xA8]) / 255).max(axis=-1) < 0.02
        assert blue.mean() > 0.001
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["live.png", "test.png"]
