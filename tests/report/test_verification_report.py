"""What is measured, and how it is shown."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.inference.score_files import read_scores
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.metrics.score_calibration import cllr
from sb_alexa.metrics.verification import equal_error_rate, minimum_dcf
from sb_alexa.metrics.verification_bootstrap import DrawSettings, bootstrap_verification
from sb_alexa.report.decision import Decision
from sb_alexa.report.verification_figures import verification_figures
from sb_alexa.report.verification_markdown import verification_markdown
from sb_alexa.report.verification_measurement import measure_verification
from sb_alexa.report.verification_page import verification_page
from sb_alexa.report.verification_report import write_verification_report
from sb_alexa.report.verification_results import VerificationResult
from tests.html_page import parse
from tests.scored_speakers import group_of, scored_trials

SETTINGS = DrawSettings(num_samples=60, target_prior=0.1)
DECISION = Decision.fitted_on(scored_trials("dev", seed=5), target_prior=0.1)


def groups(trials: ScoredTrials) -> dict[str, dict[str, str]]:
    """A column of two groups, and one with a small group and unknown speakers."""
    small = {one: "few" if one < "a08" else "many" for one in trials.speakers}
    return {
        "letter": {one: group_of(one) for one in trials.speakers},
        "size": {**small, trials.speakers[-1]: ""},
    }


@pytest.fixture(scope="module")
def trials() -> ScoredTrials:
    return scored_trials()


@pytest.fixture(scope="module")
def result(trials: ScoredTrials) -> VerificationResult:
    base = scored_trials("theirs", worse_by=1.0)
    return measure_verification(
        trials, DECISION, columns=groups(trials), settings=SETTINGS, base=(base, DECISION)
    )


def test_the_metrics_are_those_of_the_library(trials, result: VerificationResult) -> None:
    assert result.eer.value == pytest.approx(equal_error_rate(trials.scores, trials.is_target).rate)
    cost = minimum_dcf(trials.scores, trials.is_target, target_prior=0.1).cost
    assert result.min_dcf.value == pytest.approx(cost)
    assert result.dcf is not None and result.dcf == pytest.approx(
        (result.counts.fnmr + 9 * result.counts.fmr) / 100
    )
    assert cost <= result.dcf
    assert DECISION.calibration is not None
    ratios = DECISION.calibration.log_likelihood_ratios(trials.scores)
    assert result.cllr == pytest.approx(cllr(ratios, trials.is_target))
    direct = bootstrap_verification(
        trials.scores,
        trials.is_target,
        trials.enrol_speakers or (),
        trials.test_speakers or (),
        threshold=DECISION.threshold,
        columns=groups(trials),
        settings=SETTINGS,
    )
    letter = result.columns[0]
    by_name = {one.group: one for one in direct.columns["letter"].groups}
    assert {one.name: one.eer for one in letter.groups} == {k: v.eer for k, v in by_name.items()}
    spread = direct.columns["letter"].eer_spread
    assert letter.eer is not None and spread is not None and letter.eer.gap == spread.gap


def test_worst_group_first_and_small_ones_last(result: VerificationResult) -> None:
    letter, size = result.columns
    assert [one.name for one in letter.groups] == ["b", "a"]
    assert letter.eer is not None and letter.eer.spread.worst == "b"
    assert [one.marked_name for one in size.groups] == ["many", "few *"]
    assert size.groups[1].errors.num_speakers == 4 and size.eer is None
    assert size.unknown.num_targets == 4 and letter.cross_group.num_non_targets == 288


def test_figures_are_flat_and_finite(result: VerificationResult) -> None:
    whole = verification_figures(result)
    figures = {name: value for name, value in whole.items() if value is not None}
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["eer_low"] <= figures["eer"] <= figures["eer_high"]
    gap = figures["letter_b_eer"] - figures["letter_a_eer"]
    assert figures["gap_letter"] == pytest.approx(gap) and figures["std_letter"] > 0
    assert (figures["size_few_ranked"], figures["size_many_ranked"]) == (0, 1)
    assert whole["gap_size"] is None and "fnmr_gap_letter_low" in figures
    assert figures["eer_difference"] < 0 and figures["eer_difference_high"] < 0
    assert "letter_a_fnmr_difference_low" in figures and "gap_letter_difference" in figures
    assert figures["speakers"] == 24 and figures["threshold"] == DECISION.threshold


def test_tables(result: VerificationResult) -> None:
    text = verification_markdown(result)
    assert re.search(r"\| few \* +\| +4 \| +\d+ \| +\d", text)
    assert "Fewer than two groups can be ranked: no gap." in text
    assert "## mine minus theirs" in text and "fitted on development trials (dev: " in text
    assert "Note: Groups marked * have target trials of fewer than 10 speakers" in text
    rows = [line for line in text.splitlines() if line.startswith("| between groups")]
    assert len(rows) == 2 and all(row.count("–") == 3 for row in rows), "no target trials there"


def test_page_stands_alone(result: VerificationResult) -> None:
    html = verification_page(result, synthetic=True, command="sb-alexa score <a>")
    page = parse(html)
    assert re.findall(r"(?:src|href)\s*=|@import|https?:|url\((?!#)", html) == []
    assert "script" not in page.seen and len(html.encode()) < 200_000
    text = " ".join(page.text.split())
    for column in result.columns:
        assert f"By {column.column}" in text
        for group in column.groups:
            assert f"{group.marked_name}{group.errors.num_speakers}" in text, "a row of the table"
            assert f"{group.eer.value:.2f} [{group.eer.low:.2f}, {group.eer.high:.2f}]" in text
    assert "synthetic" in text and "sb-alexa score <a>" in text and "Against theirs" in text
    assert "say nothing about people" in text
    assert html.count("<clipPath") == len(set(re.findall(r'clipPath id="([^"]+)"', html))) == 2


def test_without_speakers_there_are_no_intervals(tmp_path: Path, trials: ScoredTrials) -> None:
    lines = zip(
        trials.is_target,
        trials.scores,
        trials.enrol_speakers or (),
        trials.test_speakers or (),
        strict=True,
    )
    rows = [f"{t:d} {s} {group_of(one)} {group_of(two)}\n" for t, s, one, two in lines]
    (tmp_path / "mine.txt").write_text("".join(rows))
    bare = read_scores(tmp_path / "mine.txt")
    found = measure_verification(bare, Decision.of_these(bare), settings=SETTINGS)
    whole = measure_verification(
        trials, Decision.of_these(trials), columns=groups(trials), settings=SETTINGS
    )
    group, letter = found.columns[0], whole.columns[0]
    assert group.column == "group" and math.isnan(group.groups[0].eer.low)
    assert [one.eer.value for one in group.groups] == pytest.approx(
        [one.eer.value for one in letter.groups]
    )
    assert verification_figures(found)["eer_low"] is None
    page = " ".join(parse(verification_page(found)).text.split())
    assert "does not tell speakers" in page and "chosen on these very trials" in page
    assert "calibrated scores" not in page and "there are no intervals" in page
    assert "groups are ranked although" in page
    (tmp_path / "mine.txt").write_text("".join(" ".join(r.split()[:2]) + "\n" for r in rows))
    bare = read_scores(tmp_path / "mine.txt")
    (_, caution) = measure_verification(bare, Decision.of_these(bare), settings=SETTINGS).cautions
    assert caution == "The score file does not tell speakers: there are no intervals."
    with pytest.raises(ValueError, match="does not tell who speaks, so no speaker"):
        measure_verification(bare, DECISION, columns={"letter": {}})
    with pytest.raises(ValueError, match="does not tell who speaks, so differences"):
        measure_verification(bare, DECISION, base=(bare, DECISION))


def test_a_group_with_trials_of_one_kind(trials: ScoredTrials) -> None:
    lone = {one: one if one == "a00" else "others" for one in trials.speakers}
    found = measure_verification(trials, DECISION, columns={"who": lone}, settings=SETTINGS)
    others, alone = found.columns[0].groups
    # One speaker has non-targets with nobody of the group but themselves: none.
    assert alone.name == "a00" and not alone.errors.is_ranked and alone.curve is None
    assert math.isnan(alone.eer.value) and others.errors.is_ranked
    assert verification_figures(found)["who_a00_eer"] is None
    assert "a00 *" in parse(verification_page(found)).text


def test_many_groups_are_not_all_drawn(trials: ScoredTrials) -> None:
    pairs = {one: f"g{int(one[1:]) // 2:02d}" for one in trials.speakers}
    found = measure_verification(trials, DECISION, columns={"pair": pairs}, settings=SETTINGS)
    html = verification_page(found)
    assert html.count('<polyline class="det s') == 8
    assert "Of 12 groups, the 8 with most trials" in " ".join(parse(html).text.split())


def test_names_are_escaped(trials: ScoredTrials) -> None:
    strange = {one: "<b>&" if group_of(one) == "b" else '"a"' for one in trials.speakers}
    mine = replace(trials, name="<i>mine</i>")
    found = measure_verification(mine, DECISION, columns={"x<y": strange}, settings=SETTINGS)
    html = verification_page(found)
    assert "<b>&" not in html and "x<y" not in html and "<i>mine" not in html
    assert "<b>&" in parse(html).text


def test_report_folder(tmp_path: Path, trials: ScoredTrials) -> None:
    folder = tmp_path / "new" / "report"
    found = write_verification_report(
        folder, trials, DECISION, columns=groups(trials), settings=SETTINGS
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        *("index.html", "report.md", "scores.csv")
    ]
    assert np.array_equal(read_scores(folder / "scores.csv").scores, trials.scores)
    assert f"{found.eer.value:.2f}" in (folder / "index.html").read_text()
    with pytest.raises(ValueError, match="would both be written as letter_a"):
        write_verification_report(
            folder,
            trials,
            DECISION,
            columns={"letter": dict.fromkeys(trials.speakers, "a") | {"a00": "A"}},
        )
    with pytest.raises(ValueError, match="no entry for 24 of 24 speakers"):
        write_verification_report(folder, trials, DECISION, columns={"letter": {}})
