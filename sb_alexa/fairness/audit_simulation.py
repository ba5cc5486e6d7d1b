"""Do the intervals and tests of an audit keep what they promise? Measured on simulated corpora."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from sb_alexa.metrics.bootstrap import bootstrap_ratio, bootstrap_ratio_difference
from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.error_rate_bootstrap import bootstrap_error_rates
from sb_alexa.metrics.group_rate_tests import compare_with_rest

# (method, statistic) of a measured coverage.
Measure = tuple[str, str]


@dataclass(frozen=True)
class SpeechCorpus:
    """How the errors of a simulated corpus come about.

    The defaults resemble the errors of a published transducer on LibriSpeech's test sets: there
    the standard deviation of the speakers' rates is 33 to 57 % of their mean, and within a speaker
    the errors of utterances vary 1.7 to 2.1 times as much as a Poisson count.

    Arguments
    ---------
    error_rate : float
        Errors per word of group 0.
    group_ratios : tuple of float
        Rate of every group over that of group 0. Speakers belong to each with equal probability.
    speaker_variation, utterance_variation : float
        Standard deviation over mean of what multiplies the rate of a speaker, of an utterance.
    is_lognormal : bool
        Speakers' effects are lognormal, with a longer tail, instead of gamma.
    utterances_per_speaker : int
        How many each says; half as many to twice as many.
    words_per_utterance : int
        Mean.
    """

    error_rate: float = 0.08
    group_ratios: tuple[float, ...] = (1.0, 1.5)
    speaker_variation: float = 0.5
    utterance_variation: float = 0.7
    is_lognormal: bool = False
    utterances_per_speaker: int = 25
    words_per_utterance: int = 18

    def __post_init__(self) -> None:
        numbers = (self.error_rate, *self.group_ratios, self.utterances_per_speaker)
        if min(numbers) <= 0 or min(self.speaker_variation, self.utterance_variation) < 0:
            raise ValueError(f"rates and numbers must be positive, variations >= 0, got {self}")
        if not self.group_ratios or self.words_per_utterance < 1:
            raise ValueError(f"there must be a group and a word at least, got {self}")

    @property
    def mean_error_rate(self) -> float:
        """Errors per word over all speakers that there could be."""
        return self.error_rate * sum(self.group_ratios) / len(self.group_ratios)

    def draw(self, generator: np.random.Generator, num_speakers: int) -> Utterances:
        """Speakers that nobody has seen before, at least two of each group."""
        number = len(self.group_ratios)
        if num_speakers < 2 * number:
            raise ValueError(
                f"{number} groups need at least {2 * number} speakers, got {num_speakers}"
            )
        lot = generator.integers(number, size=num_speakers - 2 * number)
        groups = np.concatenate([np.repeat(np.arange(number), 2), lot])
        rates = self.error_rate * np.asarray(self.group_ratios)[groups]
        rates = rates * self._speaker_effects(generator, num_speakers)
        spread = np.exp(generator.uniform(-math.log(2.0), math.log(2.0), size=num_speakers))
        numbers = np.maximum(1, np.rint(self.utterances_per_speaker * spread)).astype(np.intp)
        speakers = np.repeat(np.arange(num_speakers), numbers)
        words = 1 + generator.poisson(self.words_per_utterance - 1, size=len(speakers))
        mean = rates[speakers] * words
        if self.utterance_variation:
            shape = self.utterance_variation**-2
            mean = mean * generator.gamma(shape, 1.0 / shape, size=len(speakers))
        return Utterances(speakers, groups[speakers], generator.poisson(mean), words)

    def _speaker_effects(self, generator: np.random.Generator, num_speakers: int) -> np.ndarray:
        """With a mean of 1."""
        if not self.speaker_variation:
            return np.ones(num_speakers)
        if self.is_lognormal:
            variance = math.log1p(self.speaker_variation**2)
            return np.exp(generator.normal(-variance / 2, math.sqrt(variance), size=num_speakers))
        shape = self.speaker_variation**-2
        return generator.gamma(shape, 1.0 / shape, size=num_speakers)


@dataclass(frozen=True, eq=False)
class Utterances:
    """A simulated corpus.

    Arguments
    ---------
    speakers, groups, errors, words : numpy.ndarray
        (N,) of each utterance.
    """

    speakers: np.ndarray
    groups: np.ndarray
    errors: np.ndarray
    words: np.ndarray

    def cells(self, **columns: np.ndarray) -> ErrorCells:
        """Summed by speaker; further columns are names (N,)."""
        return ErrorCells.of(
            self.errors,
            self.words,
            speakers=self.speakers,
            columns={"group": self.groups.astype(str), **columns},
        )

    def cells_of_utterances(self) -> ErrorCells:
        """As if each utterance had a speaker of its own."""
        return ErrorCells.of(self.errors, self.words, columns={"group": self.groups.astype(str)})


@dataclass(frozen=True)
class Share:
    """Of how many simulated corpora something was true.

    Arguments
    ---------
    hits, number : int
        How many, out of how many.

    Example
    -------
    >>> str(Share(475, 500))
    '95.0 ± 1.0 %'
    """

    hits: int
    number: int

    @property
    def percent(self) -> float:
        """The share."""
        return 100.0 * self.hits / self.number

    @property
    def error_percent(self) -> float:
        """Its standard error, of the simulation."""
        rate = self.hits / self.number
        return 100.0 * math.sqrt(rate * (1.0 - rate) / self.number)

    def __str__(self) -> str:
        return f"{self.percent:.1f} ± {self.error_percent:.1f} %"


def measure_coverage(
    corpus: SpeechCorpus,
    *,
    num_speakers: tuple[int, int],
    num_corpora: int = 500,
    num_samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    with_utterances: bool = True,
    on_corpus: Callable[[], object] | None = None,
) -> dict[Measure, Share]:
    """How often intervals contain the true value.

    Arguments
    ---------
    corpus : SpeechCorpus
        With two groups or more; the first two are compared.
    num_speakers : (int, int)
        Each corpus has a random number of speakers, from the first to the second.
    num_corpora, num_samples : int
        Corpora, and bootstrap draws in each.
    level : float
        What the intervals are to cover.
    seed : int
        The same arguments give the same figures.
    with_utterances : bool
        Whether to resample utterances, too, which takes most of the time.
    on_corpus : callable | None
        Called after every corpus, to show progress.

    Returns
    -------
    dict of (str, str) to Share
        By method (``studentized``, that of `bootstrap_error_rates`; ``percentile`` of
        `sb_alexa.metrics.bootstrap`; ``utterances``, the first with utterances for speakers) and
        statistic (``overall``, ``group``, ``gap_points``, ``ratio``).

    Raises
    ------
    ValueError
        If the corpus has fewer than two groups.

    Example
    -------
    >>> found = measure_coverage(
    ...     SpeechCorpus(), num_speakers=(60, 60), num_corpora=20, num_samples=200, seed=2
    ... )
    >>> found["studentized", "overall"].hits > 16 > found["utterances", "overall"].hits
    True
    """
    if len(corpus.group_ratios) < 2:
        raise ValueError(f"coverage of a gap needs two groups, got {corpus.group_ratios}")
    generator = np.random.default_rng(seed)
    hits: Counter[Measure] = Counter()
    numbers: Counter[Measure] = Counter()
    for number in range(num_corpora):
        speakers = int(generator.integers(num_speakers[0], num_speakers[1] + 1))
        drawn = corpus.draw(generator, speakers)
        studentized = partial(_studentized, level=level, num_samples=num_samples, seed=number)
        percentile = partial(_percentile, level=level, num_samples=num_samples, seed=number)
        cells = drawn.cells()
        found = {"studentized": studentized(cells), "percentile": percentile(cells)}
        if with_utterances:
            found["utterances"] = studentized(drawn.cells_of_utterances())
        for method, intervals in found.items():
            for statistic, (low, high) in intervals.items():
                numbers[method, statistic] += 1
                hits[method, statistic] += low <= _truth(corpus, statistic) <= high
        if on_corpus is not None:
            on_corpus()
    return {key: Share(hits[key], number) for key, number in numbers.items()}


def _truth(corpus: SpeechCorpus, statistic: str) -> float:
    first, second = (100.0 * corpus.error_rate * ratio for ratio in corpus.group_ratios[:2])
    return {
        "overall": 100.0 * corpus.mean_error_rate,
        "group": second,
        "gap_points": second - first,
        "ratio": second / first,
    }[statistic]


def _studentized(
    cells: ErrorCells, *, level: float, num_samples: int, seed: int
) -> dict[str, tuple[float, float]]:
    found = bootstrap_error_rates(
        cells, pairs={"group": [("1", "0")]}, level=level, num_samples=num_samples, seed=seed
    )
    column = found.columns["group"]
    gap = column.pairs[0]
    by_statistic = {
        "overall": found.overall.wer,
        "group": column.by_group["1"].wer,
        "gap_points": gap.gap_points,
        "ratio": gap.ratio,
    }
    return {name: (one.low, one.high) for name, one in by_statistic.items()}


def _percentile(
    cells: ErrorCells, *, level: float, num_samples: int, seed: int
) -> dict[str, tuple[float, float]]:
    counts = list(zip(cells.errors.tolist(), cells.words.tolist(), strict=True))
    codes = cells.columns["group"].codes
    top, bottom = ([one for one, c in zip(counts, codes, strict=True) if c == g] for g in (0, 1))
    by_statistic = {
        "overall": bootstrap_ratio(counts, level=level, num_samples=num_samples, seed=seed),
        "group": bootstrap_ratio(bottom, level=level, num_samples=num_samples, seed=seed),
        "gap_points": bootstrap_ratio_difference(
            bottom, top, level=level, num_samples=num_samples, seed=seed
        ),
    }
    return {name: (100.0 * low, 100.0 * high) for name, (low, high) in by_statistic.items()}


def measure_false_discoveries(
    corpus: SpeechCorpus,
    *,
    num_speakers: int = 200,
    num_columns: int = 2,
    num_groups: int = 10,
    num_corpora: int = 500,
    num_samples: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
    on_corpus: Callable[[], object] | None = None,
) -> dict[str, Share]:
    """How often an audit reports a difference where groups are drawn by lot.

    Arguments
    ---------
    corpus : SpeechCorpus
        Its own groups are not looked at.
    num_speakers, num_columns, num_groups : int
        In every corpus; groups in every column, of equal expected size.
    num_corpora, num_samples : int
        Corpora, and bootstrap draws in each.
    alpha : float
        Error allowed.
    seed : int
        The same arguments give the same figures.
    on_corpus : callable | None
        Called after every corpus.

    Returns
    -------
    dict of str to Share
        Of corpora: ``uncorrected`` and ``holm``, with a group that differs from the rest before and
        after correction; ``gap`` and ``naive_gap``, where the interval of the gap between worst and
        best group of the first column excludes 0, with the critical value of all pairs and with
        that of this pair alone.
    """
    generator = np.random.default_rng(seed)
    hits: Counter[str] = Counter()
    for number in range(num_corpora):
        drawn = corpus.draw(generator, num_speakers)
        lots = {
            f"lot_{column}": generator.integers(num_groups, size=num_speakers).astype(str)
            for column in range(num_columns)
        }
        cells = drawn.cells(**{name: lot[drawn.speakers] for name, lot in lots.items()})
        tests = compare_with_rest(cells, list(lots))
        hits["uncorrected"] += any(one.p_value < alpha for one in tests)
        hits["holm"] += any(one.adjusted_p_value < alpha for one in tests)
        bootstrap = partial(
            bootstrap_error_rates, level=1.0 - alpha, num_samples=num_samples, seed=number
        )
        found = bootstrap(cells).columns["lot_0"].gap
        if found is not None:
            pairs = {"lot_0": [(found.bottom, found.top)]}
            again = bootstrap(cells, pairs=pairs).columns["lot_0"].pairs[0]
            hits["gap"] += found.gap_points.excludes_zero
            hits["naive_gap"] += again.gap_points.excludes_zero
        if on_corpus is not None:
            on_corpus()
    names = ("uncorrected", "holm", "naive_gap", "gap")
    return {name: Share(hits[name], num_corpora) for name in names}
