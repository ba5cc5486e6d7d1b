from __future__ import annotations

import json
from pathlib import Path

import pytest

from sb_alexa.bench.audit_statistics import coverage_table, share_table
from sb_alexa.cli import main
from sb_alexa.fairness.audit_simulation import Share


def test_figures_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    command = ["bench", "audit-statistics", "--corpora", "3", "--samples", "20", "--maps", "4"]
    assert main([*command, "--effects", "gamma", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "| 10 to 39 speakers, gamma" in shown and "| 40 to 200 speakers, gamma" in shown
    assert "lognormal" not in shown
    figures = json.loads(path.read_text())["figures"]
    assert 0 <= figures["gamma_40_200_studentized_overall_covered_percent"] <= 100
    assert "gamma_40_200_utterances_ratio_covered_percent" in figures
    assert "gamma_10_39_utterances_ratio_covered_percent" not in figures
    assert figures["map_400_noise_divided_percent"] <= figures["map_400_noise_drawn_percent"]
    assert "maps of 1600 speakers" in shown and "| planted found" in shown and "| holm" in shown
    assert figures["noise_holm_percent"] <= figures["noise_uncorrected_percent"]


def test_tables() -> None:
    found = {("a", "wer"): Share(95, 100), ("a", "gap"): Share(1, 2), ("b", "wer"): Share(2, 2)}
    lines = coverage_table("title", found).splitlines()
    assert [part.strip() for part in lines[3].split("|")[1:-1]] == ["b", "100.0 ± 0.0 %", "–"]
    assert "95.0 ± 2.2 %" in lines[2] and "50.0 ± 35.4 %" in lines[2]
    assert "| holm" in share_table("lots", "found", {"holm": Share(1, 40)})


def test_bad_input() -> None:
    assert main(["bench", "audit-statistics", "--corpora", "0"]) == 2
    assert main(["bench", "audit-statistics", "--maps", "0"]) == 2
