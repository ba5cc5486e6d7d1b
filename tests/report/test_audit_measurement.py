"""An audit finds what was planted, measures it on others, and goes on where a part fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sb_alexa.fairness.cohort_model import CohortModel
from sb_alexa.fairness.declared_groups import DeclaredGroups
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.speaker_totals import discovery_half
from sb_alexa.metrics.paired_error_rates import bootstrap_paired_error_rates
from sb_alexa.report.audit_discovery import REGION, VOICE, ZIP, discover_cohorts
from sb_alexa.report.audit_figures import audit_figures, colliding_names
from sb_alexa.report.audit_markdown import audit_markdown
from sb_alexa.report.audit_measurement import AuditRequest, measure_audit
from sb_alexa.report.audit_places import map_places
from sb_alexa.report.audit_results import AuditResult, AuditSettings
from tests.audit_tables import ACCENTS, NUM_SPEAKERS, ZIPS, audit_table

SETTINGS = AuditSettings(num_samples=200)
ATTRIBUTES = {
    code: {"renters": share, "note": ""}
    for code, share in zip(ZIPS, (0.2, 0.4, 0.6, 0.8), strict=True)
}


def voices() -> dict[str, np.ndarray]:
    """Embeddings that tell the accents apart."""
    table = audit_table()
    of_speaker = dict(zip(table.speakers, table.columns["accent"], strict=True))
    generator = np.random.default_rng(3)
    return {
        who: np.eye(3)[ACCENTS.index(accent)] + generator.normal(0, 0.1, 3)
        for who, accent in of_speaker.items()
    }


@pytest.fixture(scope="module")
def result() -> AuditResult:
    request = AuditRequest(
        [("accent",), ("sex",), ("accent", "sex")],
        attributes=ATTRIBUTES,
        embeddings=voices(),
        settings=SETTINGS,
    )
    return measure_audit([audit_table()], request)


def test_declared_groups_are_those_of_the_table(result: AuditResult) -> None:
    table = audit_table()
    accent = result.columns[0]
    assert [column.name for column in result.columns[:3]] == ["accent", "sex", "accent & sex"]
    inside = np.array(table.columns["accent"]) == "hard"
    hard = accent.rates.by_group["hard"]
    assert hard.wer.value == pytest.approx(
        100 * table.errors[inside].sum() / table.words[inside].sum()
    )
    assert hard.num_speakers == len(set(np.array(table.speakers)[inside]))
    assert accent.rates.gap is not None and accent.rates.gap.bottom == "hard"
    assert accent.rates.gap.gap_points.low > 0
    assert [test.group for test in accent.tests] == [one.group for one in accent.rates.groups]
    assert accent.origin == "declared" and not accent.num_unknown_speakers
    assert "accent=hard & sex=F" in result.columns[2].rates.by_group
    assert result.overall.wer.value == pytest.approx(100 * table.errors.sum() / table.words.sum())
    assert result.num_utterances == len(table)


def test_found_cohorts_hold_the_other_half_of_the_speakers_only(result: AuditResult) -> None:
    found = {column.name: column for column in result.columns if column.is_found}
    assert list(found) == [REGION, ZIP, VOICE]
    for column in found.values():
        assert sum(group.num_speakers for group in column.rates.groups) == NUM_SPEAKERS // 2
        assert column.num_unknown_speakers == NUM_SPEAKERS // 2
    region = found[REGION]
    assert region.rates.gap is not None and region.rates.gap.bottom == "R1"
    assert result.tree is not None
    worst = result.tree.regions[0]
    assert abs(worst.north - 35) < 1.5 and abs(worst.east + 100) < 2.5, "the planted south-west"
    # The honest rate: exactly that of the held-out half of the tree itself.
    assert region.rates.by_group["R1"].wer.value == pytest.approx(worst.held_out.wer)
    voice = found[VOICE].rates.gap
    assert voice is not None and voice.bottom == "bottom" and voice.gap_points.low > 0
    assert result.voices is not None and result.voices.gap.points == pytest.approx(
        voice.gap_points.value
    )
    assert result.partition is not None and result.partition.chosen.gap.p_value > 0.001


def test_all_discoveries_share_one_half(result: AuditResult) -> None:
    table = audit_table()
    found = discover_cohorts(
        table, find_regions=True, attributes=ATTRIBUTES, embeddings=voices(), seed=0
    )
    names = sorted(set(table.speakers))
    finders = {
        one for one, first in zip(names, discovery_half(len(names), seed=0), strict=True) if first
    }
    assert len(found.columns) == 3
    for cohorts in found.columns.values():
        for who, cohort in zip(table.speakers, cohorts, strict=True):
            assert (cohort == "") == (who in finders)


def test_noise_has_no_regions() -> None:
    found = [
        measure_audit(
            [audit_table(seed=seed, noise_only=True)],
            AuditRequest(settings=AuditSettings(num_samples=20, seed=seed)),
        )
        for seed in range(5)
    ]
    assert all(one.tree is not None and len(one.tree.regions) == 1 for one in found)
    assert all(not one.columns for one in found)


def test_columns_are_adjusted_for_one_another(result: AuditResult) -> None:
    pytest.importorskip("statsmodels")
    assert result.regression is not None
    ratios = {(one.column, one.group): one for one in result.regression.ratios}
    assert ratios["accent", "hard"].ratio.low > 1.3
    assert ratios["sex", "F" if ("sex", "F") in ratios else "M"].ratio.low < 1.1
    without = measure_audit([audit_table()], AuditRequest([("accent",)], settings=SETTINGS))
    assert without.regression is None


def test_a_group_without_errors_does_not_spoil_the_adjustment() -> None:
    pytest.importorskip("statsmodels")
    table = audit_table()
    silent = np.array(table.columns["accent"]) == "other"
    perfect = replace(table, errors=np.where(silent, 0.0, table.errors))
    result = measure_audit([perfect], AuditRequest([("accent",), ("sex",)], settings=SETTINGS))
    assert result.regression is not None
    assert {one.group for one in result.regression.ratios if one.column == "accent"} == {"hard"}
    assert "leave out groups without any error: other" in " ".join(result.notes)


def test_systems_are_compared_in_the_cohorts_of_the_first() -> None:
    base, better = audit_table("before"), audit_table("after", seed=1, better=0.6)
    request = AuditRequest([("accent",)], settings=SETTINGS)
    result = measure_audit([base, replace(better, columns={}, latitude=None)], request)
    assert (result.system, result.base) == ("after", "before")
    (comparison,) = result.comparisons
    assert comparison.system == "after"
    accents = comparison.differences.columns["accent"].by_group
    assert accents["hard"].difference.points.high < 0
    assert accents["plain"].difference.points.excludes_zero is False
    expected = bootstrap_paired_error_rates(
        replace(better, columns={"accent": base.columns["accent"]}).cells(["accent"]),
        base.cells(["accent"]),
        num_samples=200,
    )
    assert expected.overall.difference.points.value == pytest.approx(
        comparison.differences.overall.difference.points.value
    )
    tree = GeographicTree.grow(
        base.latitude,
        base.longitude,
        base.errors,
        base.words,
        base.speakers,
        in_discovery=_finders(base.speakers),
    )
    assert result.tree == tree, "the first system draws the map"
    assert result.overall.wer.value == pytest.approx(100 * better.errors.sum() / better.words.sum())


def _finders(speakers: tuple[str, ...]) -> np.ndarray:
    names = sorted(set(speakers))
    half = dict(zip(names, discovery_half(len(names), seed=0).tolist(), strict=True))
    return np.array([half[one] for one in speakers])


def test_earlier_cohorts_are_applied_to_new_speakers() -> None:
    earlier = measure_audit([audit_table()], AuditRequest(settings=SETTINGS))
    assert earlier.tree is not None
    models = {
        "regions": CohortModel(earlier.tree),
        "declared": CohortModel(DeclaredGroups.of({"sex": ["F", "M"]})),
    }
    later = measure_audit(
        [audit_table(seed=9)],
        AuditRequest(applied=models, find_regions=False, settings=SETTINGS),
    )
    assert [(column.name, column.origin) for column in later.columns] == [
        ("regions", "applied"),
        ("declared", "applied"),
    ]
    regions = later.columns[0].rates
    assert sum(group.num_speakers for group in regions.groups) == NUM_SPEAKERS
    assert regions.gap is not None and regions.gap.bottom == "R1" and not later.places
    assert "too far apart if some of these speakers found the cohorts" in audit_markdown(later)


def test_what_fails_is_said_and_the_rest_goes_on() -> None:
    few = audit_table(num_speakers=12)
    request = AuditRequest(
        [("accent",), ("sex",)],
        attributes=ATTRIBUTES,
        embeddings={name: value for name, value in voices().items() if name < "s012"},
        settings=SETTINGS,
    )
    result = measure_audit([few], request)
    assert result.overall.num_speakers == 12 and len(result.columns) == 2
    said = " ".join(result.notes)
    assert "no cohorts of ZIP codes: no attribute divides 12 speakers" in said
    assert "no cohorts of voices: 12 speakers are too few" in said
    strangers = AuditRequest(embeddings={"nobody": np.ones(2)}, settings=SETTINGS)
    assert "is of a speaker (s000, ...)" in " ".join(measure_audit([few], strangers).notes)
    no_codes = replace(few, zip_codes=None)
    said = " ".join(measure_audit([no_codes], AuditRequest(attributes=ATTRIBUTES)).notes)
    assert "system has no ZIP codes; name their column" in said


def test_one_speaker_is_no_audit() -> None:
    with pytest.raises(ValueError, match="system has one speaker only, 's000'"):
        measure_audit([audit_table(num_speakers=1)])


def test_embeddings_of_utterances_serve_as_well() -> None:
    table, by_speaker = audit_table(), voices()
    by_utterance = {i: by_speaker[who] for i, who in zip(table.ids, table.speakers, strict=True)}
    del by_utterance[table.ids[0]]
    found = discover_cohorts(
        table, find_regions=False, attributes=None, embeddings=by_utterance, seed=0
    )
    assert found.columns[VOICE][0] == "" and found.notes[0].startswith("1 speakers lack")
    same = discover_cohorts(
        table, find_regions=False, attributes=None, embeddings=by_speaker, seed=0
    )
    assert found.columns[VOICE][1:] == same.columns[VOICE][1:]


def test_dots_of_the_map_hold_everybody() -> None:
    table = audit_table()
    places = map_places(table)
    assert len(places) == NUM_SPEAKERS and places[0].latitude < places[-1].latitude
    merged = map_places(table, most=50)
    assert 25 <= len(merged) <= 50
    for found in (places, merged):
        assert sum(place.num_speakers for place in found) == NUM_SPEAKERS
        assert sum(place.errors for place in found) == table.errors.sum()
    assert map_places(replace(table, latitude=None, longitude=None)) == ()


def test_figures_and_text_show_what_was_measured(result: AuditResult) -> None:
    figures = audit_figures(result)
    hard = result.columns[0].rates.by_group["hard"]
    assert figures["accent_hard_wer"] == hard.wer.value
    assert figures["accent_hard_wer_low"] == hard.wer.low
    gap = result.columns[0].rates.gap
    assert gap is not None and figures["relative_gap_accent"] == gap.gap_relative.value
    assert figures["found_region_r1_speakers"] == result.columns[3].rates.groups[0].num_speakers
    assert figures["regions"] == len(result.tree.regions)  # type: ignore[union-attr]
    text = audit_markdown(result)
    assert f"WER {result.overall.wer.value:.2f} [" in text
    assert f"hard lies {gap.gap_points.value:.2f} [" in text
    for column in result.columns:
        for group in column.rates.groups:
            assert f"| {group.group}" in text and f"{group.wer.value:.2f} [" in text
    assert "## Columns adjusted" in text or result.regression is None


def test_groups_with_one_name_in_the_json_are_said() -> None:
    table = audit_table()
    sexes = ["F" if sex == "F" else "f" for sex in table.columns["sex"]]
    twice = replace(table, columns={"sex": tuple(sexes)})
    result = measure_audit([twice], AuditRequest([("sex",)], find_regions=False))
    (said,) = colliding_names(result)
    assert "sex 'F' and sex 'f' are both called sex_f" in said


def test_no_column_takes_the_place_of_another() -> None:
    table = audit_table()
    named = replace(table, columns={REGION: table.columns["sex"]})
    with pytest.raises(ValueError, match="that it finds 'found region'; rename that column"):
        measure_audit([named], AuditRequest([(REGION,)], settings=SETTINGS))
    model = CohortModel(DeclaredGroups.of({"sex": ["F", "M"]}))
    with pytest.raises(ValueError, match="cohorts 'accent' have the name of a column"):
        measure_audit([table], AuditRequest([("accent",)], applied={"accent": model}))


def test_cohorts_of_voices_need_embeddings(result: AuditResult) -> None:
    assert result.voices is not None
    applied = {"voices": CohortModel(result.voices)}
    with pytest.raises(ValueError, match="embedding cohorts need embeddings of the speakers"):
        measure_audit([audit_table()], AuditRequest(applied=applied))


def test_text_claims_no_more_than_was_done() -> None:
    few = audit_table(num_speakers=30)
    right = replace(few, errors=np.zeros(len(few)))
    settings = AuditSettings(num_samples=9)
    text = audit_markdown(measure_audit([right], AuditRequest([("sex",)], settings=settings)))
    assert "Map: nothing was tested, as no line has 20 speakers" in text
    assert "All 2 ranked groups have the same word error rate." in text
    assert "Note: 9 bootstrap draws are too few for intervals to be believed" in text


def test_names_cannot_break_the_text() -> None:
    table = audit_table()
    names = {"F": "a|b\nc", "M": "\x1b[31mred"}
    named = replace(table, columns={"sex": tuple(names[sex] for sex in table.columns["sex"])})
    request = AuditRequest([("sex",)], find_regions=False, settings=SETTINGS)
    text = audit_markdown(measure_audit([named], request))
    assert "| a\\|b c " in text and "\x1b" not in text


def test_systems_with_one_name_in_the_json_are_said() -> None:
    tables = [audit_table(name) for name in ("base", "a.b", "a-b")]
    (said,) = colliding_names(measure_audit(tables, AuditRequest(find_regions=False)))
    assert said.startswith("a.b and a-b are both called a_b in the JSON")
