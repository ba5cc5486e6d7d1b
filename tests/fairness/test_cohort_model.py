from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb_alexa.fairness.cohort_model import CohortFileError, CohortModel
from sb_alexa.fairness.declared_groups import DeclaredGroups
from sb_alexa.fairness.demographic_partition import DemographicPartition
from sb_alexa.fairness.embedding_cohorts import EmbeddingCohorts
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.map_simulation import simulate_map

NUM = 800
CASE = simulate_map(NUM, seed=0, regions=((40.0, 50.0, -120.0, -100.0),), factor=3.0)
VOICES = np.random.default_rng(0).normal(size=(NUM, 8))
TABLE: dict[str, Any] = {
    "latitude": CASE.latitude,
    "longitude": CASE.longitude,
    "zip": [f"{10_000 + row % 9}" for row in range(NUM)],
    "embedding": VOICES,
    "gender": ["F", "M"] * (NUM // 2),
}


def model(kind: str) -> CohortModel:
    if kind == "geographic tree":
        return CohortModel(GeographicTree.grow(*CASE.columns))
    if kind == "demographic partition":
        attributes = {str(10_000 + area): {"share": area / 8} for area in range(9)}
        rows: Any = TABLE["zip"], CASE.errors, CASE.words
        return CohortModel(DemographicPartition.find(*rows, attributes=attributes))
    if kind == "embedding cohorts":
        rows = VOICES, CASE.errors, CASE.words, range(NUM)
        return CohortModel(EmbeddingCohorts.discover(*rows))
    return CohortModel(DeclaredGroups.of({"gender": TABLE["gender"]}))


KINDS = ("geographic tree", "demographic partition", "embedding cohorts", "declared groups")


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_assigns_as_before(kind: str, tmp_path: Path) -> None:
    original = model(kind)
    original.save(tmp_path / "cohorts.json")
    loaded = CohortModel.load(tmp_path / "cohorts.json")
    assert loaded.kind == original.kind == kind
    assert loaded.columns == original.columns and loaded.names == original.names
    assigned = loaded.assign(TABLE)
    assert np.array_equal(assigned, original.assign(TABLE))
    assert len(assigned) == NUM and set(assigned) == set(loaded.names) and len(loaded.names) > 1
    assert [path.name for path in tmp_path.iterdir()] == ["cohorts.json"]
    loaded.save(tmp_path / "again.json")
    first, second = (tmp_path / name for name in ("cohorts.json", "again.json"))
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cohorts.json"
    path.write_text("old")

    def full(self: Path, *_: object, **__: object) -> int:
        self.touch()
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        model("declared groups").save(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="need the column 'longitude'; there are: latitude, zip"):
        model("geographic tree").assign({"latitude": [1.0], "zip": ["1"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "holds no cohorts"),
        ({"version": 2}, "has version 2, this program reads 1"),
        ({"kind": "horoscope"}, "of the kind 'horoscope'; there are: geographic tree, demo"),
        ({"kind": ["declared groups"]}, "of the kind"),
        ({"cohorts": None}, "of the kind"),
        ({"cohorts": {}}, "is damaged: DeclaredGroups lacks levels"),
        (
            {"kind": "geographic tree"},
            "is damaged: CohortCounts must be a JSON object, got NoneType",
        ),
    ],
)
def test_damaged_files_say_what_is_wrong(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "cohorts.json"
    model("declared groups").save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CohortFileError, match=message) as error:
        CohortModel.load(path)
    assert str(path) in str(error.value)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cohorts.json"
    with pytest.raises(FileNotFoundError):
        CohortModel.load(path)
    for content in (b"{", b"\xff\xfe", b"[1]"):
        path.write_bytes(content)
        with pytest.raises(CohortFileError, match="cohorts.json"):
            CohortModel.load(path)


def test_every_value_of_a_file_is_checked(tmp_path: Path) -> None:
    """Whatever single value is replaced, loading either refuses it or still works."""
    path = tmp_path / "cohorts.json"
    for kind in KINDS:
        model(kind).save(path)
        content = json.loads(path.read_text())
        refused = 0
        places = list(_places(content["cohorts"]))[:200]
        for parent, key in places:
            old, parent[key] = parent[key], {"unexpected": None}
            path.write_text(json.dumps(content))
            with pytest.raises(CohortFileError, match="is damaged"):
                CohortModel.load(path)
            parent[key] = old
            refused += 1
        assert refused == len(places) > 0


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Every object or list of a JSON tree with each of its keys."""
    keys = list(values) if isinstance(values, dict) else range(len(values))
    for key in keys:
        yield values, key
        if isinstance(values[key], dict | list):
            yield from _places(values[key])
