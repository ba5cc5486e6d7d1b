from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.metrics import score_normalization
from sb_alexa.metrics.score_normalization import (
    CohortStatistics,
    as_norm,
    cosine_scores,
    s_norm,
    speaker_means,
)


def _case(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    cohort = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    enrol, test = torch.randint(7, (2, 20), generator=generator)
    return embeddings, cohort, enrol, test


def _plain(embeddings: Tensor, cohort: Tensor, enrol: Tensor, test: Tensor, top_n: int) -> Tensor:
    """One trial after the other."""

    def cosine(one: Tensor, other: Tensor) -> float:
        return float(torch.dot(one, other) / (one.norm() * other.norm()))

    values = []
    for one, other in zip(enrol.tolist(), test.tolist(), strict=True):
        raw = cosine(embeddings[one], embeddings[other])
        sides = []
        for side in (one, other):
            scores = sorted((cosine(embeddings[side], row) for row in cohort), reverse=True)
            chosen = torch.tensor(scores[:top_n], dtype=torch.float64)
            sides.append((raw - chosen.mean()) / chosen.std(correction=0))
        values.append((sides[0] + sides[1]) / 2)
    return torch.stack(values)


@pytest.mark.parametrize("block_cells", [1, 30, 1 << 24])
def test_equals_one_trial_after_the_other(
    monkeypatch: pytest.MonkeyPatch, block_cells: int
) -> None:
    monkeypatch.setattr(score_normalization, "_BLOCK_CELLS", block_cells)
    embeddings, cohort, enrol, test = _case()
    raw = cosine_scores(embeddings, enrol, test)
    sides = {"embeddings": embeddings, "cohort": cohort}
    adaptive = as_norm(raw, enrol, test, **sides, top_n=4)
    torch.testing.assert_close(adaptive, _plain(embeddings, cohort, enrol, test, 4))
    whole = s_norm(raw, enrol, test, **sides)
    torch.testing.assert_close(whole, _plain(embeddings, cohort, enrol, test, 12))
    torch.testing.assert_close(as_norm(raw, enrol, test, **sides, top_n=12), whole)
    assert not torch.allclose(adaptive, whole)


def test_given_scores_of_a_cohort_are_as_good_as_embeddings() -> None:
    embeddings, cohort, enrol, test = _case(1)
    raw = cosine_scores(embeddings, enrol, test)
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    cohort_scores = unit @ torch.nn.functional.normalize(cohort, dim=1).T
    statistics = CohortStatistics.from_scores(cohort_scores, top_n=5)
    torch.testing.assert_close(
        statistics.normalize(raw, enrol, test),
        as_norm(raw, enrol, test, embeddings=embeddings, cohort=cohort, top_n=5),
    )


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(0.1, 10.0), shift=st.floats(-5.0, 5.0))
def test_an_affine_change_of_all_scores_changes_nothing(scale: float, shift: float) -> None:
    generator = torch.Generator().manual_seed(0)
    cohort_scores = torch.randn(4, 9, generator=generator, dtype=torch.float64)
    scores = torch.randn(3, generator=generator, dtype=torch.float64)
    enrol, test = torch.tensor([0, 1, 2]), torch.tensor([3, 3, 1])
    plain = CohortStatistics.from_scores(cohort_scores, top_n=4)
    moved = CohortStatistics.from_scores(scale * cohort_scores + shift, top_n=4)
    torch.testing.assert_close(
        moved.normalize(scale * scores + shift, enrol, test), plain.normalize(scores, enrol, test)
    )


def test_a_recording_that_is_alike_to_everybody_loses_its_advantage() -> None:
    statistics = CohortStatistics.from_scores(torch.tensor([[0.0, 0.2], [0.6, 0.8], [0.0, 0.2]]))
    enrol, test = torch.tensor([0, 1]), torch.tensor([2, 2])
    plain, common = statistics.normalize(torch.tensor([0.5, 0.5]), enrol, test).tolist()
    assert plain > common


def test_speaker_means_do_not_depend_on_loudness() -> None:
    embeddings, _, _, _ = _case(2)
    speakers = list("bacabca")
    means = speaker_means(embeddings, speakers)
    torch.testing.assert_close(
        means, speaker_means(embeddings * torch.arange(1, 8)[:, None], speakers)
    )
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    torch.testing.assert_close(means[0], unit[[1, 3, 6]].mean(dim=0))
    assert means.shape == (3, 5)


def test_bad_input() -> None:
    embeddings, cohort, enrol, test = _case()
    raw = cosine_scores(embeddings, enrol, test)
    with pytest.raises(ValueError, match="over 300 of 12 cohort speakers"):
        as_norm(raw, enrol, test, embeddings=embeddings, cohort=cohort)
    with pytest.raises(ValueError, match="over 1 of 1 cohort speakers"):
        s_norm(raw, enrol, test, embeddings=embeddings, cohort=cohort[:1])
    with pytest.raises(ValueError, match="equal scores with all of 2 cohort speakers"):
        s_norm(raw, enrol, test, embeddings=embeddings, cohort=cohort[[0, 0]])
    broken = embeddings.clone()
    broken[3] = 0.0
    broken[5, 0] = torch.nan
    with pytest.raises(ValueError, match="2 of 7 embeddings are zero or not finite, .* number 3"):
        cosine_scores(broken, enrol, test)
    with pytest.raises(ValueError, match="equally long"):
        cosine_scores(embeddings, enrol, test[1:])
    with pytest.raises(ValueError, match="equally long"):
        s_norm(raw[1:], enrol, test, embeddings=embeddings, cohort=cohort)
    with pytest.raises(ValueError, match="at least one recording"):
        cosine_scores(embeddings[:0], enrol[:0], test[:0])
    with pytest.raises(ValueError, match="holds NaN"):
        CohortStatistics.from_scores(torch.tensor([[0.0, torch.nan]]))
    with pytest.raises(ValueError, match="two dimensions"):
        CohortStatistics.from_scores(torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="2 speakers for 7 embeddings"):
        speaker_means(embeddings, ["a", "b"])
