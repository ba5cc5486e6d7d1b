from __future__ import annotations

import pytest

from sb_alexa.bench import roofline
from sb_alexa.bench.roofline import Roofline, measure_roofline


def test_the_slower_of_reading_and_computing_decides() -> None:
    machine = Roofline(weights_per_second=2e9, macs_per_second=40e9)
    one_frame = machine.time_ms(num_weights=26e6, num_macs=26e6)
    many_frames = machine.time_ms(num_weights=26e6, num_macs=6400 * 26e6)
    assert one_frame == pytest.approx(13.0)
    assert many_frames == pytest.approx(4160.0)


def test_machine_is_measured_in_numbers_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.5, 0.25])
    monkeypatch.setattr(roofline, "_fastest", lambda *_: next(seconds))
    machine = measure_roofline(10 * 1024)
    assert machine.weights_per_second == 10 * 1024 / 0.5
    assert machine.macs_per_second == 1024**3 / 0.25
    assert machine.gigabytes_per_second == pytest.approx(4 * 10 * 1024 / 0.5 / 1e9)


def test_the_fastest_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([9.0, 0.4, 0.2, 0.3, 0.3])
    monkeypatch.setattr(roofline, "timed", lambda *_: next(times))
    assert roofline._fastest(lambda: None, "cpu", 1.0) == 0.2


def test_a_real_machine_computes_faster_than_it_reads() -> None:
    machine = measure_roofline(2_000_000, seconds=0.05)
    assert 0 < machine.weights_per_second < machine.macs_per_second
