from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.rate_draws import RateDraws, Term


def _systems() -> tuple[ErrorCells, ErrorCells]:
    """Two systems on 12 speakers, each of whom is at home and in the car."""
    generator = np.random.default_rng(0)
    words = generator.integers(20, 200, size=24)
    places = np.tile(["car", "home"], 12)

    def cells(rate: float) -> ErrorCells:
        return ErrorCells.of(
            generator.poisson(rate * words),
            words,
            speakers=np.repeat(np.arange(12), 2),
            columns={"place": places},
        )

    return cells(0.1), cells(0.2)


def test_rates_and_errors_equal_a_plain_loop() -> None:
    mine, other = _systems()
    draws = RateDraws([mine, other], num_samples=30, seed=3)
    car = draws.find("place", "car")
    samples, errors = draws.contrast([Term(car), Term(car, -1.0, 1)])
    logs, log_errors = draws.log_contrast([Term(car), Term(car, -1.0, 1)])
    drawn = np.random.default_rng(3).integers(12, size=(30, 12))
    in_car = mine.columns["place"].codes == 0
    e, f, w = mine.errors[in_car], other.errors[in_car], mine.words[in_car]
    for place, row in enumerate([np.arange(12), *drawn]):
        rate, base = e[row].sum() / w[row].sum(), f[row].sum() / w[row].sum()
        assert samples[place] == pytest.approx(rate - base)
        assert logs[place] == pytest.approx(np.log(rate / base))
        influence = (e[row] - f[row] - (rate - base) * w[row]) / w[row].sum()
        assert errors[place] == pytest.approx(np.sqrt((influence**2).sum()))
        influence = e[row] / e[row].sum() - f[row] / f[row].sum()
        assert log_errors[place] == pytest.approx(np.sqrt((influence**2).sum()))


def test_different_groups_add_their_variances() -> None:
    draws = RateDraws([_systems()[0]], num_samples=5, seed=0)
    car, home = (Term(draws.find("place", name)) for name in ("car", "home"))
    apart = [draws.contrast([one])[1] for one in (car, home)]
    together = draws.contrast([car, home._replace(weight=-1.0)])[1]
    np.testing.assert_allclose(together**2, apart[0] ** 2 + apart[1] ** 2)


def test_no_errors_count_as_half_an_error() -> None:
    cells = ErrorCells.of([0, 0, 3], [50, 50, 100], columns={"g": ["a", "a", "b"]})
    draws = RateDraws([cells], num_samples=200, seed=0)
    place = draws.find("g", "a")
    logs, errors = draws.log_contrast([Term(place)])
    absent = draws.words[:, place] == 0
    assert absent.any() and np.isnan(logs[absent]).all()
    assert logs[0] == pytest.approx(np.log(0.5 / 100)) and errors[0] == 2.0
    assert draws.contrast([Term(place)])[1][0] == pytest.approx(0.01)


def test_systems_on_other_utterances() -> None:
    mine, _ = _systems()
    fewer = ErrorCells.of(mine.errors[:-1], mine.words[:-1], speakers=mine.speakers[:-1])
    with pytest.raises(ValueError, match="24 cells .* against 12 .*keep the utterances of both"):
        RateDraws([mine, fewer], num_samples=5, seed=0)


def test_unknown_group() -> None:
    draws = RateDraws([_systems()[0]], num_samples=1, seed=0)
    with pytest.raises(ValueError, match="column 'place' has no group 'bus'; it has: car, home"):
        draws.find("place", "bus")
