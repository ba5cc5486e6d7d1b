"""Scores of trials, from the embeddings of their recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sb_alexa.corpora.trial_lists import Trial
from sb_alexa.inference.speaker_embeddings import SpeakerEmbeddings
from sb_alexa.metrics.score_normalization import as_norm, cosine_scores, s_norm


def score_trials(
    embeddings: SpeakerEmbeddings,
    trials: Sequence[Trial],
    *,
    cohort: Tensor | None = None,
    top_n: int | None = None,
) -> np.ndarray:
    """Score trials by matrix products; each recording is normalised once.

    Arguments
    ---------
    embeddings : SpeakerEmbeddings
        Of every recording that a trial names, at least.
    trials : sequence of Trial
        Pairs of recordings; what they say about their speakers is not looked at.
    cohort : Tensor, optional
        (C, E), one embedding for each cohort speaker (`speaker_means`). Scores are then in standard
        deviations above those with the cohort; without it they are cosines.
    top_n : int, optional
        Normalise by the cohort speakers that are most alike to each recording, so many; None takes
        all of them.

    Returns
    -------
    numpy.ndarray
        (N,) float64, higher where the recordings are more alike.

    Raises
    ------
    ValueError
        If a recording has no embedding, the cohort has embeddings of another size or too few
        speakers, or `top_n` is given without a cohort.

    Reference
    ---------
    Matejka et al., "Analysis of score normalization in multilingual speaker recognition",
    Interspeech 2017; see `sb_alexa.metrics.score_normalization`.

    Example
    -------
    >>> embeddings = SpeakerEmbeddings(
    ...     ("a/s/1", "a/s/2", "b/s/1"), torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 2.0]])
    ... )
    >>> trials = [Trial(True, "a/s/1", "a/s/2"), Trial(False, "a/s/1", "b/s/1")]
    >>> score_trials(embeddings, trials).round(3).tolist()
    [0.6, 0.0]
    """
    if cohort is None and top_n is not None:
        raise ValueError(f"top_n={top_n} chooses among a cohort, and there is none; give both")
    size = embeddings.values.shape[1]
    if cohort is not None and (cohort.ndim != 2 or cohort.shape[1] != size):
        raise ValueError(
            f"the cohort must be (speakers, {size}) as the embeddings are, got shape "
            f"{tuple(cohort.shape)}; take both from the same model"
        )
    if not trials:
        return np.zeros(0)
    enrol_rows = embeddings.rows([trial.enrol for trial in trials])
    test_rows = embeddings.rows([trial.test for trial in trials])
    # Only recordings of trials: the others need no scores with the cohort.
    used, places = torch.cat([enrol_rows, test_rows]).unique(return_inverse=True)
    enrol, test = places.split(len(trials))
    values = embeddings.values[used]
    scores = cosine_scores(values, enrol, test)
    if cohort is not None and top_n is None:
        scores = s_norm(scores, enrol, test, embeddings=values, cohort=cohort)
    elif cohort is not None and top_n is not None:
        scores = as_norm(scores, enrol, test, embeddings=values, cohort=cohort, top_n=top_n)
    return scores.double().numpy()
