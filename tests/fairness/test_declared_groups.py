from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sb_alexa.fairness.declared_groups import DeclaredGroups, intersections

TABLE: dict[str, Any] = {
    "gender": ["F", "M", "F", "", None],
    "accent": np.array(["us", "in", "in", "us", "us"]),
    "age": [30.0, 60.0, float("nan"), 30.0, 60.0],
}


def test_one_column() -> None:
    groups = DeclaredGroups.of({"gender": TABLE["gender"]})
    assert groups.cohorts == ("gender=F", "gender=M")
    expected = ["gender=F", "gender=M", "gender=F", "", ""]
    assert groups.assign(TABLE).tolist() == expected


def test_intersections_of_two_and_three_columns() -> None:
    made = intersections(TABLE, most_columns=3)
    assert [groups.columns for groups in made] == [
        ("gender",),
        ("accent",),
        ("age",),
        ("gender", "accent"),
        ("gender", "age"),
        ("accent", "age"),
        ("gender", "accent", "age"),
    ]
    assert made[-1].assign(TABLE).tolist() == [
        "gender=F & accent=us & age=30.0",
        "gender=M & accent=in & age=60.0",
        *["", "", ""],
    ]
    assert len(made[3].cohorts) == 4 and set(made[3].assign(TABLE)) - {""} < set(made[3].cohorts)
    assert len(intersections(TABLE)) == 6


def test_a_group_that_was_not_declared_is_refused_with_the_nearest() -> None:
    groups = DeclaredGroups.of({"accent": ["scottish", "indian"]})
    with pytest.raises(ValueError, match=r"no group 'scotish' .*Did you mean 'scottish'\?"):
        groups.assign({"accent": ["indian", "scotish"]})
    with pytest.raises(ValueError, match="no column 'accent'; there are: gender"):
        groups.assign({"gender": ["F"]})


def test_bad_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="column 'a' is empty in all rows"):
        DeclaredGroups.of({"a": ["", None]})
    with pytest.raises(ValueError, match="at least one column"):
        DeclaredGroups.of({})
    with pytest.raises(ValueError, match="most_columns must be >= 1, got 0"):
        intersections(TABLE, most_columns=0)
    groups = DeclaredGroups.of(TABLE)
    with pytest.raises(ValueError, match="different lengths"):
        groups.assign({**TABLE, "gender": ["F"]})


def test_json_makes_the_same_groups() -> None:
    groups = DeclaredGroups.of(TABLE)
    assert DeclaredGroups.from_json(groups.to_json()) == groups
    with pytest.raises(ValueError, match="DeclaredGroups lacks levels"):
        DeclaredGroups.from_json({"level": {}})
    with pytest.raises(ValueError, match="list of text for each column"):
        DeclaredGroups.from_json({"levels": {"gender": "FM"}})
