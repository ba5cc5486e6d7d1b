from __future__ import annotations

import json
from pathlib import Path

import pytest

from sb_alexa.bench.audit_size import write_random_table
from sb_alexa.cli import main
from sb_alexa.corpora.transcript_table import read_transcripts


def test_a_small_table_is_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert main(["bench", "audit-size", "--utterances", "3000", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())["figures"]
    assert figures["utterances"] == 3000
    assert 0.05 < figures["peak_memory_gib"] < 4 and 0 < figures["cpu_seconds"] < 600
    assert 0.01 < figures["page_mb"] < 2
    assert f"{figures['page_mb']:.2f} MB" in capsys.readouterr().out


def test_the_table_is_that_of_its_seed(tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        path = tmp_path / name
        write_random_table(path, num_utterances=220, utterances_per_speaker=20, seed=seed)
        texts.append(path.read_text())
    assert texts[0] == texts[1] != texts[2]
    table = read_transcripts(tmp_path / "a")
    assert len(table) == 220 and len(set(table.speakers)) == 11
    assert 0.02 < table.errors.sum() / table.words.sum() < 0.2
    assert table.latitude is not None and set(table.columns) == {"accent", "sex", "age", "device"}


def test_bad_input() -> None:
    assert main(["bench", "audit-size", "--utterances", "0"]) == 2
