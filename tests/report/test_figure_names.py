"""Names in a JSON file tell groups apart."""

from __future__ import annotations

import pytest

from sb_alexa.report.figure_names import check_names, figure_name


def test_groups_that_the_json_could_not_tell_apart() -> None:
    with pytest.raises(ValueError, match="accent 'N E' and accent 'n-e' .* as accent_n_e"):
        check_names({"accent": ["N E", "n-e"]})


def test_names_are_flat() -> None:
    assert figure_name("home town", "São Tomé (north)") == "home_town_são_tomé_north"
