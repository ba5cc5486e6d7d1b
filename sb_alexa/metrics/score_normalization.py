"""Scores of speaker pairs, and their normalisation by how alike others are to the same recordings.

Some recordings are alike to everybody's. A *cohort* of speakers that occur in no trial (usually
those of the training set) shows how high the scores of a recording with strangers are; a score is
expressed in standard deviations above their mean, for either side of the trial, and averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

# Scores in memory at once: 64 MiB of float32.
_BLOCK_CELLS = 1 << 24


@dataclass(frozen=True, eq=False)
class CohortStatistics:
    """Mean and standard deviation of the scores of each recording with a cohort.

    Arguments
    ---------
    mean, std : Tensor
        (U,) float64, of U recordings.

    Example
    -------
    >>> scores = torch.tensor([[0.1, 0.3, -0.2], [0.0, 0.4, 0.2]])
    >>> [round(value, 3) for value in CohortStatistics.from_scores(scores, top_n=2).mean.tolist()]
    [0.2, 0.3]
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def from_scores(cls, cohort_scores: Tensor, *, top_n: int | None = None) -> CohortStatistics:
        """Statistics of given scores, whatever system made them.

        Arguments
        ---------
        cohort_scores : Tensor
            (U, C) of U recordings with C cohort speakers.
        top_n : int | None
            Only the highest so many of each recording; None takes all.

        Raises
        ------
        ValueError
            If a score is not finite, the cohort is smaller than `top_n` or than two, or the scores
            of a recording are all equal.
        """
        _check_cohort(cohort_scores, top_n, "cohort_scores (recordings, cohort speakers)")
        return cls._of(cohort_scores, top_n)

    @classmethod
    def from_embeddings(
        cls, embeddings: Tensor, cohort: Tensor, *, top_n: int | None = None
    ) -> CohortStatistics:
        """Statistics of cosine scores, computed in blocks of recordings.

        Arguments
        ---------
        embeddings : Tensor
            (U, E) of the recordings.
        cohort : Tensor
            (C, E) of the cohort, one for each speaker: see `speaker_means`.
        top_n : int | None
            As `from_scores`.

        Raises
        ------
        ValueError
            As `from_scores`, or if an embedding is zero or not finite.
        """
        directions, others = _directions(embeddings, "embeddings"), _directions(cohort, "cohort")
        _check_cohort(others.T, top_n, "cohort (cohort speakers, embedding size) transposed")
        block = max(1, _BLOCK_CELLS // len(others))
        parts = [cls._of(rows @ others.T, top_n) for rows in directions.split(block)]
        return cls(
            torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts])
        )

    @classmethod
    def _of(cls, scores: Tensor, top_n: int | None) -> CohortStatistics:
        chosen = scores if top_n is None else scores.topk(top_n, dim=1).values
        std, mean = torch.std_mean(chosen.double(), dim=1, correction=0)
        flat = (std <= 1e-7 * mean.abs()).nonzero()
        if len(flat):
            raise ValueError(
                f"{len(flat)} recordings have equal scores with all of {chosen.shape[1]} cohort "
                "speakers, so there is no scale to normalise by; use a cohort of different speakers"
            )
        return cls(mean, std)

    def normalize(self, scores: Tensor, enrol: Tensor, test: Tensor) -> Tensor:
        """Normalise scores by the cohort scores of both sides.

        Arguments
        ---------
        scores : Tensor
            (N,) of the trials.
        enrol, test : Tensor
            (N,) int64: which of the U recordings each trial compares.

        Returns
        -------
        Tensor
            (N,) float64, in standard deviations.

        Raises
        ------
        ValueError
            If the lengths differ.
        """
        if scores.ndim != 1 or not scores.shape == enrol.shape == test.shape:
            raise ValueError(
                "scores, enrol and test must be one-dimensional and equally long, got shapes "
                f"{tuple(scores.shape)}, {tuple(enrol.shape)} and {tuple(test.shape)}"
            )
        raw = scores.double()
        by_enrol = (raw - self.mean[enrol]) / self.std[enrol]
        by_test = (raw - self.mean[test]) / self.std[test]
        return 0.5 * (by_enrol + by_test)


def s_norm(
    scores: Tensor, enrol: Tensor, test: Tensor, *, embeddings: Tensor, cohort: Tensor
) -> Tensor:
    """Normalise scores by all of a cohort, symmetrically.

    For scores that are not cosines use `CohortStatistics.from_scores(...).normalize(...)`.

    Arguments
    ---------
    scores : Tensor
        (N,) of the trials, such as `cosine_scores`.
    enrol, test : Tensor
        (N,) int64: which embeddings each trial compares.
    embeddings : Tensor
        (U, E) of all recordings that occur in trials.
    cohort : Tensor
        (C, E), one for each cohort speaker.

    Returns
    -------
    Tensor
        (N,) float64, in standard deviations.

    Raises
    ------
    ValueError
        As `CohortStatistics.from_embeddings` and `CohortStatistics.normalize`.

    Reference
    ---------
    Kenny, "Bayesian speaker verification with heavy-tailed priors", Odyssey 2010.

    Example
    -------
    >>> generator = torch.Generator().manual_seed(0)
    >>> embeddings = torch.randn(4, 8, generator=generator)
    >>> cohort = torch.randn(50, 8, generator=generator)
    >>> enrol, test = torch.tensor([0, 1]), torch.tensor([2, 3])
    >>> raw = cosine_scores(embeddings, enrol, test)
    >>> there = s_norm(raw, enrol, test, embeddings=embeddings, cohort=cohort)
    >>> back = s_norm(raw, test, enrol, embeddings=embeddings, cohort=cohort)
    >>> bool((there == back).all())
    True
    """
    return CohortStatistics.from_embeddings(embeddings, cohort).normalize(scores, enrol, test)


def as_norm(
    scores: Tensor,
    enrol: Tensor,
    test: Tensor,
    *,
    embeddings: Tensor,
    cohort: Tensor,
    top_n: int = 300,
) -> Tensor:
    """Normalise scores by the cohort speakers that are most alike to each recording.

    Arguments
    ---------
    scores, enrol, test, embeddings, cohort : Tensor
        As `s_norm`.
    top_n : int
        How many cohort speakers, at most all of them (then it is `s_norm`).

    Returns
    -------
    Tensor
        (N,) float64, in standard deviations.

    Raises
    ------
    ValueError
        As `s_norm`, or if the cohort has fewer than `top_n` speakers.

    Reference
    ---------
    Matejka et al., "Analysis of score normalization in multilingual speaker recognition",
    Interspeech 2017: adaptive s-norm 1, each side by its own closest cohort.

    Example
    -------
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    >>> cohort = torch.tensor([[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0], [0.8, -0.6]])
    >>> pair = torch.tensor([0]), torch.tensor([1])
    >>> raw = cosine_scores(embeddings, *pair)
    >>> as_norm(raw, *pair, embeddings=embeddings, cohort=cohort, top_n=2).round(decimals=3)
    tensor([0.5560], dtype=torch.float64)
    """
    statistics = CohortStatistics.from_embeddings(embeddings, cohort, top_n=top_n)
    return statistics.normalize(scores, enrol, test)


def cosine_scores(embeddings: Tensor, enrol: Tensor, test: Tensor) -> Tensor:
    """Cosine similarity of the recordings of each trial.

    Arguments
    ---------
    embeddings : Tensor
        (U, E), one for each recording, extracted once however many trials it occurs in.
    enrol, test : Tensor
        (N,) int64: which embeddings each trial compares.

    Returns
    -------
    Tensor
        (N,) between -1 and 1.

    Raises
    ------
    ValueError
        If an embedding is zero or not finite, or the lengths differ.

    Example
    -------
    >>> embeddings = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    >>> cosine_scores(embeddings, torch.tensor([0, 0, 2]), torch.tensor([1, 2, 2]))
    tensor([0.0000, 0.6000, 1.0000])
    """
    if enrol.ndim != 1 or enrol.shape != test.shape:
        raise ValueError(
            "enrol and test must be one-dimensional and equally long, got shapes "
            f"{tuple(enrol.shape)} and {tuple(test.shape)}"
        )
    directions = _directions(embeddings, "embeddings")
    block = max(1, _BLOCK_CELLS // directions.shape[1])
    pairs = zip(enrol.split(block), test.split(block), strict=True)
    return torch.cat([(directions[one] * directions[other]).sum(dim=1) for one, other in pairs])


def speaker_means(embeddings: Tensor, speakers: Sequence[str]) -> Tensor:
    """One embedding for each speaker: the mean direction of theirs, to be used as a cohort.

    Arguments
    ---------
    embeddings : Tensor
        (U, E) of the recordings.
    speakers : sequence of str
        (U,) who speaks in each.

    Returns
    -------
    Tensor
        (C, E) in alphabetical order of the speakers.

    Raises
    ------
    ValueError
        If the lengths differ, or an embedding is zero or not finite.

    Example
    -------
    >>> speaker_means(torch.tensor([[0.0, 2.0], [5.0, 0.0], [1.0, 0.0]]), ["b", "a", "b"])
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    if len(speakers) != len(embeddings):
        raise ValueError(f"there are {len(speakers)} speakers for {len(embeddings)} embeddings")
    directions = _directions(embeddings, "embeddings")
    numbers = {name: number for number, name in enumerate(sorted(set(speakers)))}
    rows = torch.tensor([numbers[name] for name in speakers], device=embeddings.device)
    sums = directions.new_zeros(len(numbers), directions.shape[1]).index_add_(0, rows, directions)
    return sums / torch.bincount(rows)[:, None]


def _directions(embeddings: Tensor, name: str) -> Tensor:
    """Embeddings (U, E) scaled to length 1."""
    if embeddings.ndim != 2 or not len(embeddings):
        raise ValueError(
            f"{name} must be (recordings, embedding size) with at least one recording, got shape "
            f"{tuple(embeddings.shape)}"
        )
    lengths = embeddings.norm(dim=1)
    bad = (~(lengths > 0) | lengths.isinf()).nonzero()
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(embeddings)} {name} are zero or not finite, the first is number "
            f"{int(bad[0])}; look for silent or broken recordings"
        )
    return normalize(embeddings, dim=1)


def _check_cohort(cohort_scores: Tensor, top_n: int | None, name: str) -> None:
    if cohort_scores.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got {tuple(cohort_scores.shape)}")
    if not cohort_scores.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite values; look for broken recordings")
    size = cohort_scores.shape[1]
    wanted = size if top_n is None else top_n
    if not 2 <= wanted <= size:
        raise ValueError(
            f"a mean and a deviation over {wanted} of {size} cohort speakers cannot be had; "
            f"top_n must lie between 2 and {size}, or the cohort be larger"
        )
