"""Scores of trials."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from sb_alexa.corpora.trial_lists import Trial
from sb_alexa.inference.speaker_embeddings import SpeakerEmbeddings
from sb_alexa.inference.trial_scoring import score_trials

NAMES = ("a/s/1", "a/s/2", "b/s/1", "unused/s/1")
TRIALS = [Trial(True, "a/s/2", "a/s/1"), Trial(False, "b/s/1", "a/s/2")]


@pytest.fixture
def embeddings() -> SpeakerEmbeddings:
    return SpeakerEmbeddings(NAMES, torch.randn(4, 6))


@pytest.fixture
def cohort() -> torch.Tensor:
    return torch.randn(20, 6)


def normalized(one: torch.Tensor, other: torch.Tensor, cohort: torch.Tensor, top_n: int) -> float:
    """As-norm by its definition, one trial at a time."""
    score = cosine_similarity(one, other, dim=0)
    sides = []
    for side in (one, other):
        best = cosine_similarity(side[None], cohort).topk(top_n).values
        sides.append((score - best.mean()) / best.std(correction=0))
    return float(0.5 * (sides[0] + sides[1]))


def test_cosines(embeddings: SpeakerEmbeddings) -> None:
    a1, a2, b1, _ = embeddings.values
    scores = score_trials(embeddings, TRIALS)
    assert scores.dtype == np.float64
    expected = [cosine_similarity(a2, a1, dim=0).item(), cosine_similarity(b1, a2, dim=0).item()]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("top_n", [None, 5, 20])
def test_normalised_scores(embeddings, cohort, top_n) -> None:
    a1, a2, b1, _ = embeddings.values
    scores = score_trials(embeddings, TRIALS, cohort=cohort, top_n=top_n)
    expected = [normalized(*pair, cohort, top_n or 20) for pair in ((a2, a1), (b1, a2))]
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_recordings_without_trials_do_not_matter(embeddings, cohort) -> None:
    values = embeddings.values.clone()
    values[3] = float("nan")
    other = SpeakerEmbeddings(NAMES, values)
    expected = score_trials(embeddings, TRIALS, cohort=cohort, top_n=4)
    assert score_trials(other, TRIALS, cohort=cohort, top_n=4).tolist() == expected.tolist()


def test_no_trials_no_scores(embeddings: SpeakerEmbeddings) -> None:
    assert score_trials(embeddings, []).shape == (0,)


def test_what_does_not_fit_is_refused(embeddings, cohort) -> None:
    with pytest.raises(ValueError, match="top_n=5 chooses among a cohort, and there is none"):
        score_trials(embeddings, TRIALS, top_n=5)
    with pytest.raises(ValueError, match=r"the cohort must be \(speakers, 6\)"):
        score_trials(embeddings, TRIALS, cohort=torch.randn(20, 5))
    with pytest.raises(ValueError, match="top_n must lie between 2 and 20"):
        score_trials(embeddings, TRIALS, cohort=cohort, top_n=21)
    with pytest.raises(ValueError, match="no embedding: z/s/1"):
        score_trials(embeddings, [Trial(False, "a/s/1", "z/s/1")])
