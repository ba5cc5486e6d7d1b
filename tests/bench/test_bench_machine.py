from __future__ import annotations

import pytest

from sb_alexa.bench import machine
from sb_alexa.bench.machine import MachineReport, MachineWatch


def test_idle_machine_has_no_problem() -> None:
    # A high load average is no problem where the busy time of the cores says otherwise.
    assert MachineReport(2.0, 0.05, 2, (1.0, 1.04)).problems == ()


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (MachineReport(0.0, 0.3, 2, (1.0, 1.0)), "other processes used 0.30 of 2 cores"),
        (MachineReport(0.0, 0.0, 2, (1.0, 1.2)), "1.00 ms before and 1.20 ms afterwards"),
        (MachineReport(0.0, 0.0, 2, (1.2, 1.0)), "1.20 ms before and 1.00 ms afterwards"),
        (MachineReport(1.7, None, 2, (1.0, 1.0)), "load average at the start was 1.70"),
    ],
)
def test_busy_machine_is_named(report: MachineReport, words: str) -> None:
    assert len(report.problems) == 1
    assert words in report.problems[0]


def test_own_work_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 10 s the cores were busy for 14 s and this process for 9 s: others used 0.5 cores."""
    clocks = iter([machine._Clocks(100.0, 1.0, 50.0), machine._Clocks(110.0, 10.0, 64.0)])
    monkeypatch.setattr(machine, "_clocks", lambda: next(clocks))
    report = MachineWatch(calibration_seconds=0.0).report()
    assert report.other_cores == pytest.approx(0.5)


def test_system_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(machine.Path, "read_text", missing)
    assert MachineWatch(calibration_seconds=0.0).report().other_cores is None
