"""Tables and picture of the audit, on counts whose answer is known."""

from __future__ import annotations

import pytest

from sb_alexa.commands.gates_report import audit_figures, audit_markdown
from sb_alexa.fairness.gate_audit import (
    SpeakerCounts,
    audit_groups,
    group_speakers,
    overall_rates,
)
from sb_alexa.metrics.compute import MacCounts
from sb_alexa.metrics.error_rate import ErrorCounts
from sb_alexa.metrics.gate_statistics import GateCounts, ToggleCounts

KINDS = ("feed_forward", "query", "key")


def counts(kept: int, errors: int) -> SpeakerCounts:
    toggles = [ToggleCounts(kept, 100)] * 3
    gated, dense = MacCounts(query=10 * kept, frames=10), MacCounts(query=1000, frames=10)
    return SpeakerCounts(
        2, ErrorCounts(substitutions=errors, words=50), GateCounts(*toggles, gated, dense)
    )


@pytest.fixture(scope="module")
def audited():
    """Twelve voices each: `deep` gets less compute and more errors, `high` only less compute."""
    speakers, values = {}, {}
    for i in range(12):
        for voice, kept, errors in (("deep", 30, 8), ("high", 30, 2), ("mid", 50, 2)):
            speakers[f"{voice}{i}"] = counts(kept + i % 3, errors + i % 2)
            values[f"{voice}{i}"] = voice
    for i in range(3):
        speakers[f"odd{i}"], values[f"odd{i}"] = counts(10, 5), "odd"
    audits = {"voice": audit_groups(speakers, "voice", group_speakers("voice", values))}
    return speakers, overall_rates(list(speakers.values())), audits


def row(markdown: str, name: str, table: int) -> list[str]:
    lines = [line for line in markdown.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in lines[table].strip("|").split("|")]


def test_tables(audited) -> None:
    markdown = audit_markdown(*audited, KINDS, 0.5)
    assert row(markdown, "deep", 0)[1:4] == ["12", "24", "600"]
    assert row(markdown, "deep", 0)[5].startswith("31.0 [30.")
    assert row(markdown, "deep", 0)[6].startswith("69.0 [")
    assert row(markdown, "mid", 1)[2].startswith("**+2"), "more compute than the rest, certainly"
    assert row(markdown, "odd *", 0)[1] == "3"
    assert "fewer than 10 speakers" in markdown
    lengths = {len(line) for line in markdown.splitlines() if line.startswith("|")}
    assert len(lengths) == 2, "the columns of each of the two tables are aligned"


def test_verdict_names_who_gets_less_and_suffers(audited) -> None:
    verdict = audit_markdown(*audited, KINDS, 0.5).splitlines()[-2]
    assert verdict.startswith("Groups with 10 speakers or more: 3. Compute differs")
    less_and_worse = verdict.split("Less compute and more errors: ")[1]
    assert less_and_worse.startswith("voice deep (-") and "high" not in less_and_worse
    assert "odd" not in verdict, "nothing is said about small groups"


def test_only_kinds_that_are_toggled(audited) -> None:
    markdown = audit_markdown(*audited, ("feed_forward", "key"), 0.5)
    assert "keys skipped" in markdown and "queries" not in markdown
    figures = audit_figures(*audited, ("feed_forward", "key"))
    assert "voice_deep_skip_key_difference_low" in figures
    assert not any("query" in name for name in figures)


def test_figures(audited) -> None:
    figures = audit_figures(*audited, KINDS)
    assert (figures["speakers"], figures["voice_odd_words"]) == (39, 150)
    assert figures["voice_deep_compute"] == pytest.approx(31)
    rest = (12 * 31 + 12 * 51 + 3 * 10) / 27
    assert figures["voice_deep_compute_difference"] == pytest.approx(31 - rest)
    low, high = (figures[f"voice_deep_wer_difference_{end}"] for end in ("low", "high"))
    assert low is not None and high is not None
    assert low < figures["voice_deep_wer_difference"] < high


def test_picture(audited) -> None:
    pytest.importorskip("matplotlib")
    from sb_alexa.commands.gates_audit_plot import plot_audit

    _, overall, audits = audited
    figure = plot_audit(overall, audits)
    compute, wer = figure.axes
    labels = [tick.get_text() for tick in compute.get_yticklabels()]
    assert labels == ["voice", "deep (12)", "high (12)", "mid (12)", "odd (3)"]
    dots = [line for line in wer.lines if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in dots] == [1, 2, 3, 4]
    assert dots[0].get_xdata()[0] == audits["voice"][0].rates["wer"].value
    assert dots[-1].get_markerfacecolor() == "white" != dots[0].get_markerfacecolor()
