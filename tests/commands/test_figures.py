"""The `--json` file of commands that measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sb_alexa
from sb_alexa.commands import figures
from sb_alexa.commands.figures import machine_description, write_figures


def test_content(tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.json"
    write_figures(path, "bench streaming", {"rtf": 0.2, "streams_per_core": 9, "peer_rtf": None})
    content = json.loads(path.read_text())
    assert list(content) == ["command", "version", "machine", "figures"]
    assert content["command"] == "bench streaming"
    assert content["version"] == sb_alexa.__version__
    assert content["figures"] == {"rtf": 0.2, "streams_per_core": 9, "peer_rtf": None}
    assert content["machine"] == machine_description()
    assert content["machine"]["cpu"] and content["machine"]["torch"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "3", [1.0]])
def test_only_numbers(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="figure wer is"):
        write_figures(tmp_path / "f.json", "demo", {"wer": value})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    write_figures(path, "demo", {"wer": 1.0})
    before = path.read_bytes()

    def full(*args: object, **kwargs: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures.Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_figures(path, "demo", {"wer": 2.0})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
