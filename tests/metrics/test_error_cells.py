from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.error_cells import ErrorCells

ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(1, 20),
        st.sampled_from("abcd"),
        st.sampled_from(["", "f", "m"]),
        st.sampled_from(["car", "home"]),
    ),
    min_size=1,
    max_size=30,
).filter(lambda rows: any(row[3] for row in rows))


def _cells(rows: list[tuple[int, int, str, str, str]]) -> ErrorCells:
    errors, words, speakers, gender, place = (list(side) for side in zip(*rows, strict=True))
    return ErrorCells.of(
        errors, words, speakers=speakers, columns={"gender": gender, "place": place}
    )


@settings(max_examples=50, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_cells_are_sums_of_rows_in_any_order(rows: list, random) -> None:
    cells = _cells(rows)
    names = sorted({row[2] for row in rows})
    found = {}
    for number in range(len(cells.words)):
        key = [names[cells.speakers[number]]]
        for column in cells.columns.values():
            code = column.codes[number]
            key.append(column.names[code] if code >= 0 else "")
        found[tuple(key)] = (cells.errors[number], cells.words[number])
    expected: dict = {}
    for errors, words, *key in rows:
        before = expected.get(tuple(key), (0, 0))
        expected[tuple(key)] = (before[0] + errors, before[1] + words)
    assert found == expected and len(found) == len(cells.words)
    random.shuffle(rows)
    shuffled = _cells(rows)
    np.testing.assert_array_equal(cells.errors, shuffled.errors)
    np.testing.assert_array_equal(cells.speakers, shuffled.speakers)


def test_sums_by_speaker_leave_unknown_groups_out() -> None:
    cells = ErrorCells.of(
        [1, 2, 4, 8],
        [10, 10, 10, 0],
        speakers=[7, 7, 3, 3],
        columns={"place": ["car", "", "home", "car"], "gender": ["f", "f", "m", "m"]},
    )
    np.testing.assert_array_equal(cells.by_speaker(cells.errors).toarray(), [[12], [3]])
    np.testing.assert_array_equal(
        cells.by_speaker(cells.errors, "place").toarray(), [[8, 4], [1, 0]]
    )
    # Speaker 3 is never heard in the car: the cell has no reference words.
    assert cells.speakers_by_group("place").tolist() == [1, 1]
    assert cells.num_speakers == 2


def test_many_columns_do_not_overflow() -> None:
    generator = np.random.default_rng(0)
    columns = {f"c{number}": generator.integers(1000, size=500).astype(str) for number in range(12)}
    cells = ErrorCells.of(np.ones(500), np.ones(500), columns=columns)
    assert len(cells.words) == 500
    again = [cells.columns["c11"].names[code] for code in cells.columns["c11"].codes]
    assert again == columns["c11"].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"errors": [1, -1]}, "errors of 1 rows are not counts, such as -1.0 in row 1"),
        ({"words": [1, np.nan]}, "words of 1 rows are not counts, such as nan"),
        ({"words": [0, 0]}, "no reference words"),
        ({"words": [[1, 2]]}, r"one number for each row, got shape \(1, 2\)"),
        ({"speakers": ["a"]}, "speakers has 1 entries for 2 rows"),
        ({"columns": {"g": ["a"]}}, "column 'g' has 1 entries for 2 rows"),
        ({"columns": {"g": ["a", None]}}, "1 rows do not, such as None"),
        ({"columns": {"g": [1, 2]}}, "2 rows do not, such as 1"),
        ({"columns": {"g": ["", ""]}}, "column 'g' is empty in all 2 rows"),
    ],
)
def test_bad_input(changes: dict, message: str) -> None:
    arguments = {"errors": [1, 1], "words": [2, 2], **changes}
    with pytest.raises(ValueError, match=message):
        ErrorCells.of(**arguments)


def test_absent_column() -> None:
    cells = ErrorCells.of([1], [2], columns={"gender": ["f"]})
    with pytest.raises(ValueError, match="no column 'sex'; there are: gender"):
        cells.column("sex")
