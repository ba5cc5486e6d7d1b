from __future__ import annotations

import sys

import numpy as np
import pytest

from sb_alexa.fairness.group_regression import regress_error_rates, require_statsmodels
from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.multiple_testing import holm

statsmodels = pytest.importorskip("statsmodels.api")


def _cells(
    generator: np.random.Generator, num_speakers: int, *, accent: float, car: float
) -> ErrorCells:
    """Speakers at home and in the car; those with accent b speak more in the car."""
    speakers = np.repeat(np.arange(num_speakers), 2)
    accents = np.where(speakers % 2 == 1, "b", "a")
    places = np.tile(["home", "car"], num_speakers)
    words = np.where((accents == "b") == (places == "car"), 400, 100)
    effects = generator.gamma(4.0, 0.25, size=num_speakers)[speakers]
    rates = 0.08 * np.where(accents == "b", accent, 1.0) * np.where(places == "car", car, 1.0)
    return ErrorCells.of(
        generator.poisson(words * rates * effects),
        words,
        speakers=speakers,
        columns={"accent": accents, "place": places},
    )


REFERENCES = {"accent": "a", "place": "home"}


def test_equals_a_clustered_poisson_model() -> None:
    cells = _cells(np.random.default_rng(0), 400, accent=1.3, car=1.5)
    found = regress_error_rates(cells, references=REFERENCES)
    accent, place = (cells.columns[name] for name in ("accent", "place"))
    matrix = np.column_stack([np.ones(len(cells.words)), accent.codes == 1, place.codes == 0])
    model = statsmodels.GLM(
        cells.errors,
        matrix.astype(float),
        family=statsmodels.families.Poisson(),
        offset=np.log(cells.words),
    ).fit(cov_type="cluster", cov_kwds={"groups": cells.speakers})
    for position, one in enumerate(found.ratios, start=1):
        assert np.log(one.ratio.value) == pytest.approx(model.params[position], abs=1e-6)
        width = np.log(one.ratio.high / one.ratio.low) / 2 / 1.966
        assert width == pytest.approx(model.bse[position], rel=0.02)
        assert one.p_value == pytest.approx(model.pvalues[position], rel=0.2, abs=1e-4)
    adjusted = holm([one.p_value for one in found.ratios])
    assert [one.adjusted_p_value for one in found.ratios] == adjusted.tolist()
    assert (found.num_speakers, found.num_cells, found.num_cells_left_out) == (400, 800, 0)


def test_a_confounder_is_taken_out() -> None:
    cells = _cells(np.random.default_rng(1), 300, accent=1.0, car=2.0)
    accent, place = regress_error_rates(cells, references=REFERENCES).ratios
    assert accent.crude_ratio > 1.3
    assert accent.ratio.low < 1.0 < accent.ratio.high
    assert place.ratio.low < 2.0 < place.ratio.high and place.p_value < 1e-6
    alone = regress_error_rates(cells, ["accent"], references={"accent": "a"}).ratios[0]
    assert alone.ratio.value == pytest.approx(alone.crude_ratio)
    assert alone.ratio.low > 1.1


def test_coverage_with_few_speakers() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(150):
        cells = _cells(generator, 24, accent=1.5, car=1.2)
        ratio = regress_error_rates(cells, references=REFERENCES).ratios[0].ratio
        covered += ratio.low <= 1.5 <= ratio.high
    assert 0.90 <= covered / 150 <= 0.99


def test_reference_is_the_group_with_most_words_unless_named() -> None:
    cells = ErrorCells.of(
        [3, 5, 9, 2, 4, 8] * 3, [10, 90, 50] * 6, columns={"g": ["a", "b", "c"] * 6}
    )
    by_default = regress_error_rates(cells)
    assert by_default.references == {"g": "b"}
    assert [one.group for one in by_default.ratios] == ["a", "c"]
    named = regress_error_rates(cells, references={"g": "a"})
    assert named.ratios[0].group == "b"
    assert named.ratios[0].ratio.value == pytest.approx(1 / by_default.ratios[0].ratio.value)


def test_cells_that_cannot_enter_are_counted() -> None:
    cells = ErrorCells.of(
        [1, 2, 3, 4] * 6 + [1, 5],
        [20] * 24 + [0, 20],
        columns={"g": ["a", "b"] * 12 + ["a", ""]},
    )
    found = regress_error_rates(cells)
    assert (found.num_cells, found.num_cells_left_out) == (24, 2)
    assert found.ratios[0].num_speakers == 12


def test_bad_input() -> None:
    errors, words = [1, 2, 3, 4, 5, 6] * 3, [50] * 18
    sexes, accents = ["f", "m"] * 9, ["a", "b", "c"] * 6

    def cells(**columns: list[str]) -> ErrorCells:
        return ErrorCells.of(errors, words, columns=columns)

    with pytest.raises(ValueError, match="'m' of column 'sex' follows from voice=low"):
        regress_error_rates(
            cells(voice=["high" if one == "f" else "low" for one in sexes], sex=sexes),
            references={"voice": "high", "sex": "f"},
        )
    with pytest.raises(ValueError, match="has the group 'f' only"):
        regress_error_rates(cells(sex=["f"] * 18))
    with pytest.raises(ValueError, match="'c' of column 'accent' has no words where all other"):
        regress_error_rates(
            cells(accent=accents, sex=[s * (a != "c") for s, a in zip(sexes, accents, strict=True)])
        )
    with pytest.raises(ValueError, match="18 speakers cannot tell 18 parameters apart"):
        regress_error_rates(cells(own=[str(number) for number in range(18)]))
    with pytest.raises(ValueError, match="no group 'x' to compare with; it has: f, m"):
        regress_error_rates(cells(sex=sexes), references={"sex": "x"})
    with pytest.raises(ValueError, match=r"references are given for \['accent'\]"):
        regress_error_rates(cells(sex=sexes), references={"accent": "a"})
    with pytest.raises(ValueError, match="no column 'age'"):
        regress_error_rates(cells(sex=sexes), ["age"])
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        regress_error_rates(cells(sex=sexes), level=95)
    faultless = ErrorCells.of([0, 1] * 9, words, columns={"sex": sexes})
    with pytest.raises(ValueError, match="'f' of column 'sex' has no errors in 450 words"):
        regress_error_rates(faultless)


def test_without_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.api", None)
    with pytest.raises(ImportError, match=r"pip install 'sb-alexa\[audit\]'"):
        require_statsmodels()
