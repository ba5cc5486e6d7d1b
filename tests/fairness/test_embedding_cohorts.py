from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sb_alexa.fairness import embedding_cohorts
from sb_alexa.fairness.embedding_cohorts import EmbeddingCohorts

NUM_VOICES = 20


def voices(
    num_speakers: int, *, seed: int, hard: tuple[int, ...] = (), factor: float = 2.0
) -> tuple[dict[str, Any], np.ndarray]:
    """Speakers around 20 directions, and the direction of each; those of `hard` make more errors.

    Two utterances of each speaker, of unequal loudness.
    """
    generator = np.random.default_rng(seed)
    kind = generator.integers(0, NUM_VOICES, num_speakers)
    centres = np.random.default_rng(0).normal(size=(NUM_VOICES, 16))
    own = centres[kind] + 0.15 * generator.normal(size=(num_speakers, 16))
    rates = 0.1 * np.exp(0.4 * generator.standard_normal(num_speakers))
    rates *= np.where(np.isin(kind, hard), factor, 1.0)
    who = np.tile(np.arange(num_speakers), 2)
    words = generator.integers(50, 200, len(who))
    utterances = own[who] + 0.05 * generator.normal(size=(len(who), 16))
    utterances *= generator.uniform(0.5, 2.0, (len(who), 1))
    rows = {
        "embeddings": utterances,
        "errors": generator.poisson(rates[who] * words),
        "words": words,
        "speakers": [f"s{one:05d}" for one in who],
    }
    return rows, kind


def test_hard_voices_are_the_bottom_cohort_without_labels() -> None:
    rows, kind = voices(1200, seed=1, hard=(3, 11))
    found = EmbeddingCohorts.discover(**rows, max_share=0.12)
    fresh, other_kind = voices(600, seed=2)
    is_bottom = found.assign(fresh["embeddings"])[:600] == "bottom"
    hard = np.isin(other_kind, (3, 11))
    assert is_bottom[hard].mean() > 0.9 and is_bottom[~hard].mean() < 0.1
    assert found.gap.relative == pytest.approx(1.0, abs=0.35)
    assert found.gap.low > 0 and found.gap.p_value < 0.01
    assert found.gap.share_of_speakers < 0.15
    assert set(found.cohorts) == {"bottom", "top"}


def test_clusters_are_ranked_on_one_half_and_measured_on_the_other() -> None:
    found = EmbeddingCohorts.discover(**voices(1200, seed=3)[0])
    assert len(found.clusters) == 30
    rates = [cluster.discovery.wer for cluster in found.clusters]
    assert rates == sorted(rates, reverse=True)
    bottom = [cluster for cluster in found.clusters if cluster.is_bottom]
    assert sum(cluster.held_out.speakers for cluster in bottom) == found.gap.bottom.speakers
    assert all((c.discovery + c.held_out).speakers >= 20 for c in bottom)
    assert sum((c.discovery + c.held_out).speakers for c in bottom) <= 120
    # Nothing was planted: the cohort that looked bad is not.
    discovered = sum(c.discovery.errors for c in bottom) / sum(c.discovery.words for c in bottom)
    assert 100 * discovered > found.gap.bottom.wer
    assert found.gap.p_value > 0.025


def test_chance_is_seldom_confirmed() -> None:
    p_values = [
        EmbeddingCohorts.discover(**voices(160, seed=seed)[0], seed=seed).gap.p_value
        for seed in range(40)
    ]
    assert 0 <= sum(p_value <= 0.05 for p_value in p_values) <= 6
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.17)


def test_the_order_of_rows_does_not_matter() -> None:
    rows, _ = voices(400, seed=4, hard=(0,))
    order = np.random.default_rng(0).permutation(800)
    shuffled: Any = {
        name: [column[row] for row in order] if isinstance(column, list) else column[order]
        for name, column in rows.items()
    }
    once, again = EmbeddingCohorts.discover(**rows), EmbeddingCohorts.discover(**shuffled)
    assert np.array_equal(once.centroids, again.centroids)
    assert (once.clusters, once.gap) == (again.clusters, again.gap)


def test_loudness_does_not_matter() -> None:
    found = EmbeddingCohorts.discover(**voices(400, seed=5)[0])
    fresh = voices(50, seed=6)[0]["embeddings"]
    ranks = found.assign_clusters(fresh)
    assert np.array_equal(ranks, found.assign_clusters(7.0 * fresh)) and len(set(ranks)) > 3


def test_many_speakers_are_clustered_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_cohorts, "_MOST_POINTS_PER_CLUSTER", 10)
    rows, kind = voices(1200, seed=1, hard=(3, 11))
    found = EmbeddingCohorts.discover(**rows, num_clusters=20, max_share=0.12)
    in_clusters = sum((c.discovery + c.held_out).speakers for c in found.clusters)
    assert in_clusters == 1200
    assert found.gap.low > 0


def test_the_worst_cluster_is_taken_however_large() -> None:
    found = EmbeddingCohorts.discover(**voices(100, seed=7)[0], num_clusters=2)
    assert [cluster.is_bottom for cluster in found.clusters] == [True, False]


def test_clusters_with_few_speakers_are_passed_over() -> None:
    rows, _ = voices(400, seed=8)
    # Three speakers far from all others, who are understood worst.
    rows["embeddings"] = np.vstack([rows["embeddings"], -50 * np.ones((3, 16))])
    rows["errors"] = np.append(rows["errors"], [90, 90, 90])
    rows["words"] = np.append(rows["words"], [100, 100, 100])
    rows["speakers"] += ["x", "y", "z"]
    found = EmbeddingCohorts.discover(**rows)
    for cluster in found.clusters:
        if (cluster.discovery + cluster.held_out).speakers < 20:
            assert not cluster.is_bottom
    with pytest.raises(ValueError, match="no cluster has 300 speakers, the largest has"):
        EmbeddingCohorts.discover(**rows, min_speakers=300)


def test_bad_input_is_refused() -> None:
    rows, _ = voices(60, seed=9)
    with pytest.raises(ValueError, match="60 speakers are too few .* 80 are needed"):
        EmbeddingCohorts.discover(**rows)
    broken = rows["embeddings"].copy()
    broken[4], broken[9, 0] = 0.0, np.nan
    with pytest.raises(ValueError, match="2 embeddings are zero or not finite: rows 4, 9"):
        EmbeddingCohorts.discover(**{**rows, "embeddings": broken})
    with pytest.raises(ValueError, match="119 embeddings for 120 rows"):
        EmbeddingCohorts.discover(**{**rows, "embeddings": broken[10:].repeat(2, 0)[:119] + 1})
    with pytest.raises(ValueError, match="max_share must lie between 0 and 1"):
        EmbeddingCohorts.discover(**rows, max_share=1.5)
    found = EmbeddingCohorts.discover(**rows, num_clusters=2)
    with pytest.raises(ValueError, match="embeddings of 16 numbers, these have 8"):
        found.assign(np.ones((1, 8)))


def test_json_makes_the_same_cohorts() -> None:
    found = EmbeddingCohorts.discover(**voices(400, seed=10)[0])
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    again = EmbeddingCohorts.from_json(values)
    assert np.array_equal(again.centroids, found.centroids)
    assert (again.clusters, again.gap) == (found.clusters, found.gap)
    for key, wrong, message in (
        ("embedding_size", 15, r"centroids are not \(10, 15\) numbers"),
        ("centroids_float32_base64", "?", "centroids are not"),
        ("clusters", values["clusters"][1:], "list of 10, one for each centroid"),
        ("gap", None, "CohortCounts must be a JSON object"),
    ):
        with pytest.raises(ValueError, match=message):
            EmbeddingCohorts.from_json({**values, key: wrong})
