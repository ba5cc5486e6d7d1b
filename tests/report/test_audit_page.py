"""The page of an audit shows what was measured, all of it, and says how sure it is."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.speaker_totals import SpeakerTotals
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.audit_page import audit_page
from sb_alexa.report.audit_results import AuditColumn, AuditResult
from sb_alexa.report.audit_speakers import speaker_spread
from sb_alexa.report.estimate_text import number_text
from sb_alexa.report.held_out_gaps import HeldOutGap, held_out_gaps
from sb_alexa.report.html_table import p_value_cell
from sb_alexa.report.rate_bars import RateBar, rate_bars
from sb_alexa.report.speaker_section import speaker_section
from tests.html_page import parse
from tests.report.audit_examples import Speakers, audit_example

NAN = float("nan")


@pytest.fixture(scope="module")
def speakers() -> Speakers:
    return Speakers()


@pytest.fixture(scope="module")
def result(speakers: Speakers) -> AuditResult:
    systems = {"tuned": speakers.errors_of(0.95, 0.9), "EWC": speakers.errors_of(0.96, 0.8)}
    notes = tuple(f"Note {number}." for number in range(6))
    return audit_example(speakers, systems=systems, notes=notes)


@pytest.fixture(scope="module")
def html(result: AuditResult) -> str:
    return audit_page(result, synthetic=True, command="sb-alexa audit <a>")


def text_of(html: str) -> str:
    return " ".join(parse(html).text.split())


def interval(estimate: Estimate, digits: int = 2) -> str:
    return f"[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def test_page_stands_alone(html: str) -> None:
    assert re.findall(r"https?:|<script|@import|url\(|\bsrc\s*=", html) == []
    links = set(re.findall(r'href="([^"]*)"', html))
    anchors = re.findall(r' id="([^"]*)"', html)
    assert links == {f"#{name}" for name in anchors} - {"#adjusted", "#methods", "#speakers"}
    assert len(set(anchors)) == len(anchors)
    assert "script" not in parse(html).seen


def test_head(result: AuditResult, html: str) -> None:
    text = text_of(html)
    wer = result.overall.wer
    assert f"EWC: {wer.value:.2f} % word error rate" in text
    assert f"word error rate of all speakers {interval(wer)}" in text
    assert "6,000 utterances" in text and f"{result.overall.words:,.0f} words" in text
    assert "say nothing about people" in text and "sb-alexa audit <a>" in text
    assert "synthetic" not in text_of(audit_page(result)).replace("synthetic voices are", "")
    (worst,) = (column for column in result.columns if column.name == "accent")
    assert worst.rates.gap is not None
    points = worst.rates.gap.gap_points
    assert f"far over home: {points.value:.2f} {interval(points)} points" in text
    tested = [t for c in result.columns for t in c.tests if not math.isnan(t.adjusted_p_value)]
    certain = sum(test.adjusted_p_value <= 0.05 for test in tested)
    assert f"{certain} of {len(tested)}tested groups differ" in text and 0 < certain < len(tested)
    assert all(note in text for note in result.notes) and "3 more notes on the data" in text


def test_every_group_has_its_row(result: AuditResult, html: str) -> None:
    text = text_of(html)
    for column in result.columns:
        tests = {test.group: test for test in column.tests}
        for group in column.rates.groups:
            mark = "" if group.is_ranked else " *"
            wer = f"{group.wer.value:.2f}"
            if not math.isnan(group.wer.low):
                wer += f" {interval(group.wer)}"
            row = f"{group.group}{mark}{group.num_speakers:,}{group.words:,.0f}{wer}"
            row += number_text(tests[group.group].rest_ratio)
            assert row in text, row
            row += re.sub("<.*?>|&lt;", "", p_value_cell(tests[group.group].adjusted_p_value))
            assert row.replace(" ", "") in text.replace("<", "").replace(" ", "")


def test_small_groups_are_pale_and_last(html: str) -> None:
    order = re.findall(r'class="rate( pale)?"><span class="name">([^<]*)', html)
    accent = order[order.index(("", "far")) :][:4]
    assert accent == [("", "far"), ("", "near"), ("", "home"), (" pale", "rare *")]
    both = [name for pale, name in order if "&amp;" in name and pale]
    assert both == ["gender=F &amp; accent=rare *", "gender=M &amp; accent=rare *"]


def test_found_cohorts_say_that_they_are_held_out(result: AuditResult, html: str) -> None:
    text = text_of(html)
    said = "These cohorts were found with the transcripts of base on one half of the speakers."
    assert text.count(said) == 3 == sum(column.is_found for column in result.columns)
    assert result.tree is not None and result.partition is not None and result.voices is not None
    for split in result.tree.splits:
        held_out = f"{split.gap.points:+.2f} [{split.gap.low:+.2f}, {split.gap.high:+.2f}]"
        assert f"discovery {abs(split.discovery_points):+.2f} · held out {held_out}" in text
        assert f"{abs(split.discovery_points):+.2f}{held_out}" in text, "in the table, too"
    for region in result.tree.regions:
        row = f"{region.discovery.speakers}{region.discovery.wer:.2f}{region.held_out.speakers}"
        assert f"{row}{region.held_out.wer:.2f}" in text
    for way in result.partition.partitions:
        gap = way.gap
        row = f"{way.bottom}{number_text(way.discovery_points, sign=True)}"
        assert f"{row}{gap.points:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]" in text
    for rank, cluster in enumerate(result.voices.clusters, start=1):
        cohort = "bottom" if cluster.is_bottom else "top"
        halves = (cluster.discovery, cluster.held_out)
        row = "".join(f"{half.speakers}{half.wer:.2f}" for half in halves)
        assert f"{rank}{cohort}{row}" in text
    alone = text_of(audit_page(audit_example()))
    assert "These cohorts were found on one half" in alone and "transcripts of" not in alone


def test_the_map_has_the_rates_of_the_audited_system(result: AuditResult, html: str) -> None:
    (column,) = (column for column in result.columns if column.origin == "region")
    assert result.tree is not None
    for region in result.tree.regions:
        group = column.rates.by_group[region.name]
        assert group.num_speakers == region.held_out.speakers
        assert abs(group.wer.value - region.held_out.wer) > 0.1, "another system"
        title = f"{region.name}: {group.wer.value:.2f} % WER of {group.num_speakers} held-out"
        assert f"<title>{title}" in html
    text = text_of(html)
    assert "Colours are the WER of EWC for the held-out speakers" in text
    assert "found and measured with the transcripts of base; rates of EWC follow below" in text


def test_adjusted_ratios(result: AuditResult, html: str) -> None:
    text = text_of(html)
    assert result.regression is not None and len(result.regression.ratios) == 4
    for one in result.regression.ratios:
        row = f"{one.column}: {one.group}{one.reference}{one.num_speakers}{one.crude_ratio:.2f}"
        assert f"{row}{one.ratio.value:.2f} {interval(one.ratio)}" in text
    assert "595 speakers enter. 5 cells" in text
    assert "Adjusted for one another" not in text_of(audit_page(replace(result, regression=None)))


def test_comparison(result: AuditResult, html: str) -> None:
    text = text_of(html)
    assert "one in twenty is bold all the same" in text
    bold = re.findall(r"<b>([-+][\d.]+) <small>\[([-+][\d.]+), ([-+][\d.]+)\]", html)
    assert bold and all(float(low) * float(high) >= 0 for _, low, high in bold)
    plain = re.findall(r'number">([-+][\d.]+) <small>\[([-+][\d.]+), ([-+][\d.]+)\]', html)
    assert plain
    for one in result.comparisons:
        assert f"{one.system} minus base" in text
        overall = one.differences.overall.difference
        signed = f"[{overall.points.low:+.2f}, {overall.points.high:+.2f}]"
        row = f"{overall.wer:.2f}{overall.base_wer:.2f}{overall.points.value:+.2f} {signed}"
        assert f"all speakers{row}" in text
        for name, column in one.differences.columns.items():
            gap = column.gap
            assert gap is not None
            rates = column.by_group
            own = rates[gap.bottom].difference.wer - rates[gap.top].difference.wer
            before = gap.base_bottom, gap.base_top
            base = rates[before[0]].difference.base_wer - rates[before[1]].difference.base_wer
            assert gap.gap_points.value == pytest.approx(own - base)
            row = f"{own:.2f}{base:.2f}{number_text(gap.gap_points.value, sign=True)}"
            assert f"{row} [{number_text(gap.gap_points.low, sign=True)}," in text
            for group in column.groups:
                mark = "" if group.is_ranked else " *"
                shown = f"{group.difference.wer:.2f}{group.difference.base_wer:.2f}"
                assert f"{name}: {group.group}{mark}{shown}" in text


def test_a_bare_table(speakers: Speakers) -> None:
    """Neither columns nor places nor a base: a rate and how it was measured."""
    found = audit_example(speakers, columns={}, with_discovery=False)
    assert found.columns == () and found.regression is None
    html = audit_page(found)
    text = text_of(html)
    assert f"base: {found.overall.wer.value:.2f} % word error rate" in text
    assert re.findall(r"<h2[^>]*>([^<]*)", html) == [
        "Speaker by speaker",
        "How this was measured",
    ]
    assert "verdicts" not in html.split("</style>")[1] and "one half" not in text


def test_every_speaker_is_in_the_histogram(result: AuditResult, html: str) -> None:
    spread = result.speakers
    section = html.partition('id="speakers"')[2].partition("</figure>")[0]
    columns = re.findall(r'class="column" points="([^"]*)"', section)
    corners = [[tuple(map(float, c.split(","))) for c in one.split()] for one in columns]
    heights = np.array([one[0][1] - one[1][1] for one in corners])
    counts = heights / heights.max() * int(re.findall(r">([\d,]+) speakers<", section)[0])
    assert counts.sum() == pytest.approx(len(spread.rates), rel=0.02)
    text = text_of(html)
    low, middle, high = spread.percentiles
    assert f"The median speaker has {middle:.2f}" in text and f"less than {low:.2f}" in text
    assert f"more than {high:.2f}" in text
    worst = spread.hardest[0]
    assert worst.wer == max(spread.rates) and worst.speaker in text


def test_one_rate_and_no_error_make_a_histogram() -> None:
    for errors in ([0, 0], [5, 5], [0.0, 100.0]):
        totals = SpeakerTotals.of(errors, [100, 100], ["a", "b"])
        section = speaker_section(speaker_spread(totals))
        assert "nan" not in section and 'class="column"' in section


def test_nothing_can_be_ranked(speakers: Speakers) -> None:
    """Nine speakers to a group: shown in alphabetical order, no worst one anywhere."""
    groups = np.array([f"g{row // 9:02d}" for row in range(27)])
    few = Speakers(27, seed=2)
    base = audit_example(
        few,
        columns={"team": groups},
        systems={"other": few.errors_of(0.9)},
        with_discovery=False,
    )
    html = audit_page(base)
    text = text_of(html)
    assert re.findall(r'rate pale"><span class="name">([^<]*)', html) == ["g00 *", "g01 *", "g02 *"]
    assert "Fewer than two groups have 10 speakers, so none is called worst or best" in text
    assert "too few groups with enough speakers" in text
    assert "No group could be tested against the rest." in text
    assert "there is no worst group to draw" in text and "worst ranked group" not in text


def test_unknown_intervals_are_left_out(result: AuditResult) -> None:
    accent = next(column for column in result.columns if column.name == "accent")
    gap = accent.rates.gap
    assert gap is not None
    unknown = Estimate(NAN, NAN, NAN)
    bare = replace(gap, gap_points=Estimate(5.0, NAN, NAN), gap_relative=unknown, ratio=unknown)
    rates = replace(
        accent.rates,
        gap=bare,
        groups=tuple(
            replace(one, wer=Estimate(one.wer.value, NAN, NAN)) for one in accent.rates.groups
        ),
    )
    tests = tuple(
        replace(test, rest_ratio=NAN, p_value=NAN, adjusted_p_value=NAN) for test in accent.tests
    )
    one = AuditColumn("accent", "declared", rates, tests, 0)
    html = audit_page(replace(result, columns=(one,), overall=replace(result.overall, wer=unknown)))
    text = text_of(html)
    assert "nan" not in html.split("</style>")[1].lower()
    assert "home has no errors: a gap of 5.00 points. No interval could be measured." in text
    assert "EWC: – % word error rate" in text


def test_a_map_without_regions() -> None:
    lone = Speakers(300, seed=4)
    lone.errors = np.random.default_rng(4).poisson(0.1 * lone.words)
    found = audit_example(lone, columns={})
    assert found.tree is not None and len(found.tree.regions) == 1
    html = audit_page(found)
    text = text_of(html)
    assert "none was confirmed. So the map stays one region" in text
    assert html.count('class="region') - html.count('height="11"') == 1
    assert "That can be chance (p = " in text, "nor did voices tell anything"
    assert '<rect class="plate"' not in html, "a single region needs no name"


def test_names_are_escaped(speakers: Speakers) -> None:
    evil = '<b>&"'
    groups = np.where(speakers.gender == "F", evil, "'plain'")
    systems = {f"new {evil}": speakers.errors_of(0.9)}
    found = audit_example(speakers, columns={f"by {evil}": groups}, systems=systems)
    found = replace(found, notes=(f"note {evil}",), base=f"base {evil}")
    html = audit_page(found, command=evil)
    assert evil not in html and "<b>&amp;" not in html
    text = text_of(html)
    for name in (f"by {evil}", f"new {evil}", f"note {evil}", f"base {evil}"):
        assert name in text
    assert html.count('aria-label="') == html.count('role="img"') == 3


def test_large_audits_stay_small() -> None:
    many = Speakers(3000, seed=1)
    # 1,500 places.
    many.latitude, many.longitude = (
        np.repeat(side[:1500], 2) for side in (many.latitude + 0.003, many.longitude)
    )
    dialects = np.array([f"dialect {row % 200:03d}" for row in range(3000)])
    found = audit_example(
        many,
        columns={"dialect": dialects},
        systems={"one": many.errors_of(0.9), "two": many.errors_of(0.9)},
    )
    html = audit_page(found)
    assert len(found.places) > 1400 and html.count("<circle cx") > 1400
    assert len(html.encode()) < 1_000_000
    text = text_of(html)
    assert all(f"dialect {number:03d}" in text for number in range(200))
    assert "176 more in the table." in text and "Table of all 200 groups" in text


def test_equal_groups_have_no_worst() -> None:
    same = Speakers(40, seed=3)
    same.errors, same.words = np.full(40, 5), np.full(40, 100.0)
    halves = np.repeat(["a", "b"], 20)
    found = audit_example(same, columns={"half": halves}, with_discovery=False)
    text = text_of(audit_page(found))
    assert "All 2 ranked groups have the same word error rate." in text
    assert "no difference between the ranked groups" in text
    assert "worst ranked group," not in text and "points above the best" not in text


def test_bars_leave_room_for_rates() -> None:
    """The interval of two speakers does not squeeze all else."""
    bars = [
        RateBar("a", Estimate(10.0, 8.0, 12.0)),
        RateBar("b *", Estimate(5.0, 0.0, 9e6), False),
    ]
    html = rate_bars("WER", "", bars, overall=9.0)
    assert 'class="bar" style="width:83.3%"' in html
    assert 'class="span cut" style="left:0.0%;width:100.0%"' in html and "[0.0, 9e+06]" in html
    alone = rate_bars("WER", "", [RateBar("a", Estimate(0.0, 0.0, 3.0))], overall=0.0)
    assert 'class="span" style="left:0.0%;width:100.0%"' in alone


def test_gaps_below_zero_are_left_of_the_line() -> None:
    gaps = [
        HeldOutGap("a", 6.0, Estimate(-1.0, -2.0, 0.0)),
        HeldOutGap("<b>", 2.0, Estimate(1.0, NAN, NAN), False),
    ]
    html = held_out_gaps("Gaps", "", gaps)
    assert html.count('class="zero" style="left:25.0%"') == 2
    assert re.findall(r'class="chosen" style="left:([\d.]+)%', html) == ["100.0", "50.0"]
    assert re.findall(r'class="measured" style="left:([\d.]+)%', html) == ["12.5", "37.5"]
    assert re.findall(r'class="span" style="left:([\d.]+)%;width:([\d.]+)%', html) == [
        ("0.0", "25.0")
    ]
    assert "&lt;b&gt;" in html and 'class="rate gap pale"' in html


def test_page_claims_no_more_than_was_done(result: AuditResult, html: str) -> None:
    assert "come from a file" not in text_of(html)
    applied = tuple(replace(column, origin="applied") for column in result.columns)
    said = text_of(audit_page(replace(result, columns=applied)))
    assert "If some of these speakers found them, gaps tend to be too large" in said
    few = np.arange(30.0)
    untested = GeographicTree.grow(few, few, np.ones(30), np.full(30, 10.0), few.astype(str))
    assert untested.num_lines_tested == 0
    said = text_of(audit_page(replace(result, columns=(), tree=untested)))
    assert "The map stays one region, and nothing was tested" in said
    assert "none was confirmed" not in said
