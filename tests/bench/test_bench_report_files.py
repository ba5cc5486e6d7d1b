"""What a benchmark leaves when nobody reads what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from sb_alexa.bench.recipe_comparison import write_report


class _ClosedPipe:
    """Standard output after the reader went away."""

    def write(self, text: str) -> NoReturn:
        raise BrokenPipeError

    def flush(self) -> None:
        """Nothing is ever buffered."""


def test_the_report_of_runs_is_written_before_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", _ClosedPipe())
    with pytest.raises(BrokenPipeError):
        write_report(
            tmp_path,
            "the table",
            draw=lambda path: path.write_bytes(b"the plot"),
            command="bench something",
            figures={"wer": 4.5},
            json_file=str(tmp_path / "figures.json"),
        )
    assert (tmp_path / "report.md").read_text() == "the table\n"
    assert (tmp_path / "report.png").read_bytes() == b"the plot"
    assert json.loads((tmp_path / "figures.json").read_text())["figures"] == {"wer": 4.5}


def test_figures_survive_a_closed_pipe(tmp_path: Path) -> None:
    command = "bench audit-size --utterances 60 --utterances-per-speaker 5"
    path = tmp_path / "figures.json"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-u", "-m", "sb_alexa.cli", *command.split(), "--json", str(path)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    os.close(write_end)
    assert json.loads(path.read_text())["figures"], done.stderr
