"""Intervals of verification error rates over speakers, and paired differences of two systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sb_alexa.metrics.verification import checked_trials
from sb_alexa.metrics.verification_estimates import (
    ColumnEstimates,
    Estimate,
    GroupEstimates,
    SpreadEstimates,
    VerificationEstimates,
)
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.metrics.weighted_trials import WeightedTrials, Weighting

_BY_GROUP = ("eer", "fmr", "fnmr")
# (column, group, measure) -> (runs, 1 + draws); first comes what was measured, then the draws.
_Samples = dict[tuple[str, str, str], np.ndarray]


@dataclass(frozen=True)
class DrawSettings:
    """How a bootstrap draws, and the costs of its detection cost.

    Arguments
    ---------
    target_prior, miss_cost, false_alarm_cost : float
        As `sb_alexa.metrics.verification.minimum_dcf`.
    level : float
        Probability that an interval is to cover, between 0 and 1.
    num_samples : int
        Draws of speakers.
    seed : int
        The same trials and seed give the same intervals.

    Raises
    ------
    ValueError
        If `level` or `num_samples` is out of range.
    """

    target_prior: float = 0.01
    miss_cost: float = 1.0
    false_alarm_cost: float = 1.0
    level: float = 0.95
    num_samples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}; 0.95 is usual")
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be >= 1, got {self.num_samples}; 1000 is usual")


def bootstrap_verification(
    scores: ArrayLike,
    is_target: ArrayLike,
    enrol_speakers: Sequence[str],
    test_speakers: Sequence[str],
    *,
    threshold: float | Sequence[float],
    columns: Mapping[str, Mapping[str, str]] | None = None,
    settings: DrawSettings | None = None,
    on_draw: Callable[[], object] | None = None,
) -> VerificationEstimates:
    """Percentile intervals of all error rates, with speakers as the units of resampling.

    All trials of a speaker share that speaker's voice, and a non-target trial depends on two
    voices. Speakers are drawn with replacement; a target trial counts as often as its speaker was
    drawn, a non-target trial as often as the one was times as often as the other. The rates of
    every draw are exact. Independent noise of single non-target trials is counted up to three
    times, so intervals err on the wide side where few trials connect many speakers. With 60
    speakers they cover about as often as they claim (tests/metrics/test_verification_bootstrap.py
    simulates it); with fewer they are too narrow, so mistrust those of small groups.

    Several runs, which differ in their random seed, are averaged. Their scatter enters as in
    `sb_alexa.bench.paired_seeds`: each draw is shifted by the standard error over runs times a draw
    of Student's t.

    Arguments
    ---------
    scores : array of float
        (N,) of all trials, or (R, N) for R runs of one method.
    is_target : array of bool
        (N,) whether the speaker is the same.
    enrol_speakers, test_speakers : sequence of str
        (N,) who was enrolled and who speaks in the test.
    threshold : float or sequence of float
        The one shared by all groups, fitted on development trials; with several runs one each.
    columns : mapping of str to mapping of str to str | None
        By column (such as "gender") the group of every speaker, empty where unknown.
    settings : DrawSettings | None
        Draws, level, costs; None for the usual ones.
    on_draw : callable | None
        Called after every draw, to show progress.

    Returns
    -------
    VerificationEstimates
        NaN where nothing can be measured.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, all trials are of one kind, the two speakers of a
        trial contradict its label, there are fewer than two speakers or a column lacks one.

    Reference
    ---------
    Poh and Bengio, "Estimating the confidence interval of expected performance curve in biometric
    authentication using joint bootstrap", ICASSP 2007, for users as units. Owen, "The pigeonhole
    bootstrap", 2007 (arXiv 0712.1111), for products of multiplicities and how they overstate the
    variance. Here both sides of a trial come from one set of speakers, drawn once.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> speakers = [f"s{number:02d}" for number in range(20)]
    >>> pairs = [(one, other) for one in speakers for other in speakers for _ in range(2)]
    >>> same = np.array([one == other for one, other in pairs])
    >>> estimates = bootstrap_verification(
    ...     generator.normal(size=len(pairs)) + 3.0 * same,
    ...     same,
    ...     [one for one, _ in pairs],
    ...     [other for _, other in pairs],
    ...     threshold=1.5,
    ...     columns={"half": {one: "ab"[one < "s10"] for one in speakers}},
    ...     settings=DrawSettings(num_samples=100),
    ... )
    >>> estimates.eer.low < estimates.eer.value < estimates.eer.high
    True
    >>> half = estimates.columns["half"]
    >>> [one.group for one in half.groups], half.eer_spread.gap.excludes_zero
    (['a', 'b'], False)
    """
    settings = settings or DrawSettings()
    speakers = _Speakers(is_target, enrol_speakers, test_speakers, columns or {})
    samples = _draw([speakers.system(scores, threshold, settings)], speakers, settings, on_draw)[0]
    return _estimates(samples, speakers, settings)


def bootstrap_verification_difference(
    scores: ArrayLike,
    base_scores: ArrayLike,
    is_target: ArrayLike,
    enrol_speakers: Sequence[str],
    test_speakers: Sequence[str],
    *,
    threshold: float | Sequence[float],
    base_threshold: float | Sequence[float],
    columns: Mapping[str, Mapping[str, str]] | None = None,
    settings: DrawSettings | None = None,
    on_draw: Callable[[], object] | None = None,
) -> VerificationEstimates:
    """By how much two systems differ on the same trials: all rates of the first minus the second's.

    Both are measured on the same draws of speakers, so what makes a speaker hard for both cancels.
    Of several runs, run r of both is a pair (such as the same seed).

    Arguments
    ---------
    scores, base_scores : array of float
        (N,) or (R, N) of either system, the same trials in the same order.
    is_target, enrol_speakers, test_speakers, columns, settings, on_draw
        As `bootstrap_verification`.
    threshold, base_threshold : float or sequence of float
        Each system has its own, fitted on development trials.

    Returns
    -------
    VerificationEstimates
        Differences in percent points (minimum detection cost: in its own unit). Those of a spread
        are the one system's spread minus the other's.

    Raises
    ------
    ValueError
        As `bootstrap_verification`, or if the numbers of runs differ.

    Example
    -------
    >>> speakers = ["a", "a", "b", "b", "c", "c"] * 2
    >>> others = ["a", "b", "b", "c", "c", "a"] * 2
    >>> same = [one == other for one, other in zip(speakers, others)]
    >>> scores = [0.9, 0.1, 0.4, 0.5, 0.8, 0.2, 0.7, 0.6, 0.3, 0.0, 0.9, 0.1]
    >>> bootstrap_verification_difference(
    ...     scores, scores, same, speakers, others, threshold=0.5, base_threshold=0.5
    ... ).eer
    Estimate(value=0.0, low=0.0, high=0.0)
    """
    settings = settings or DrawSettings()
    speakers = _Speakers(is_target, enrol_speakers, test_speakers, columns or {})
    systems = [
        speakers.system(scores, threshold, settings),
        speakers.system(base_scores, base_threshold, settings),
    ]
    if len(systems[0]) != len(systems[1]):
        raise ValueError(
            f"scores have {len(systems[0])} runs and base_scores {len(systems[1])}; run r of both "
            "must be a pair"
        )
    first, second = _draw(systems, speakers, settings, on_draw)
    return _estimates({key: first[key] - second[key] for key in first}, speakers, settings)


class _Run:
    """One run of a system: its trials, sorted, as a whole and by group."""

    def __init__(
        self,
        overall: WeightedTrials,
        groups: Mapping[tuple[str, str], WeightedTrials],
        threshold: float,
        settings: DrawSettings,
    ) -> None:
        self.overall = overall
        self.groups = groups
        self.threshold = threshold
        self.settings = settings

    def rates(self, weights: np.ndarray) -> Iterator[tuple[tuple[str, str, str], float]]:
        """All rates under one weighting of the speakers."""
        weighting = self.overall.weighted(weights)
        yield (
            ("", "", "minimum_dcf"),
            weighting.minimum_dcf(
                target_prior=self.settings.target_prior,
                miss_cost=self.settings.miss_cost,
                false_alarm_cost=self.settings.false_alarm_cost,
            ),
        )
        yield from self._three("", "", weighting)
        for (column, group), trials in self.groups.items():
            yield from self._three(column, group, trials.weighted(weights))

    def _three(
        self, column: str, group: str, weighting: Weighting
    ) -> Iterator[tuple[tuple[str, str, str], float]]:
        fmr, fnmr = weighting.rates_at(self.threshold)
        yield (column, group, "eer"), weighting.equal_error_rate()
        yield (column, group, "fmr"), fmr
        yield (column, group, "fnmr"), fnmr


class _Speakers:
    """Who is in each trial and which trials lie in which group, whatever the scores."""

    def __init__(
        self,
        is_target: ArrayLike,
        enrol_speakers: Sequence[str],
        test_speakers: Sequence[str],
        columns: Mapping[str, Mapping[str, str]],
    ) -> None:
        labels = np.asarray(is_target)
        _, self.is_target = checked_trials(np.zeros(labels.shape), labels)
        for name, side in (("enrol_speakers", enrol_speakers), ("test_speakers", test_speakers)):
            if len(side) != len(labels):
                raise ValueError(f"{name} has {len(side)} entries for {len(labels)} trials")
        names = sorted({*enrol_speakers, *test_speakers})
        if len(names) < 2:
            raise ValueError(f"resampling speakers needs at least two, got {names}")
        numbers = {name: number for number, name in enumerate(names)}
        self.number = len(names)
        self.enrol = np.array([numbers[name] for name in enrol_speakers], dtype=np.intp)
        self.test = np.array([numbers[name] for name in test_speakers], dtype=np.intp)
        wrong = np.flatnonzero((self.enrol == self.test) != self.is_target)
        if wrong.size:
            first = wrong[0]
            raise ValueError(
                f"{wrong.size} trials contradict their speakers: trial {first} has is_target = "
                f"{bool(self.is_target[first])} for {enrol_speakers[first]!r} and "
                f"{test_speakers[first]!r}; check how speakers are read from the trial list"
            )
        self.columns = {column: self._groups(column, columns[column], names) for column in columns}

    def _groups(
        self, column: str, group_of: Mapping[str, str], names: Sequence[str]
    ) -> dict[str, tuple[np.ndarray, bool]]:
        """Trials (their positions) of each group and whether it is ranked."""
        absent = [name for name in names if name not in group_of]
        if absent:
            raise ValueError(
                f"column {column!r} has no entry for {len(absent)} of {len(names)} speakers, such "
                f"as {absent[0]!r}; give an empty group where it is unknown"
            )
        kinds = sorted({group_of[name] for name in names} - {""})
        codes = {group: code for code, group in enumerate(kinds)} | {"": -1}
        speaker_code = np.array([codes[group_of[name]] for name in names])
        enrol, test = speaker_code[self.enrol], speaker_code[self.test]
        found = {}
        for code, group in enumerate(kinds):
            inside = np.flatnonzero((enrol == code) & (test == code))
            if inside.size:
                own = inside[self.is_target[inside]]
                both = 0 < own.size < inside.size
                enough = np.unique(self.enrol[own]).size >= FEWEST_SPEAKERS
                found[group] = (inside, bool(both and enough))
        return found

    def system(
        self, scores: ArrayLike, threshold: float | Sequence[float], settings: DrawSettings
    ) -> list[_Run]:
        """The runs of one system, ready to be weighted."""
        runs = np.atleast_2d(np.asarray(scores, dtype=np.float64))
        thresholds = np.atleast_1d(np.asarray(threshold, dtype=np.float64))
        if thresholds.shape != (len(runs),) or np.isnan(thresholds).any():
            raise ValueError(
                f"{len(runs)} runs of scores need as many thresholds, none of them NaN; got "
                f"{thresholds.tolist()}"
            )
        return [
            self._run(run, float(own), settings) for run, own in zip(runs, thresholds, strict=True)
        ]

    def _run(self, scores: np.ndarray, threshold: float, settings: DrawSettings) -> _Run:
        values, _ = checked_trials(scores, self.is_target)
        groups = {
            (column, group): self._sorted(values, inside)
            for column, found in self.columns.items()
            for group, (inside, _) in found.items()
        }
        return _Run(self._sorted(values, np.arange(len(values))), groups, threshold, settings)

    def _sorted(self, values: np.ndarray, chosen: np.ndarray) -> WeightedTrials:
        return WeightedTrials(
            values[chosen], self.is_target[chosen], self.enrol[chosen], self.test[chosen]
        )


def _draw(
    systems: Sequence[Sequence[_Run]],
    speakers: _Speakers,
    settings: DrawSettings,
    on_draw: Callable[[], object] | None,
) -> list[_Samples]:
    """Rates of every system as measured and in every draw; all systems share the draws."""
    generator = np.random.default_rng(settings.seed)
    shape = (len(systems[0]), 1 + settings.num_samples)
    found: list[_Samples] = [{} for _ in systems]
    for draw in range(1 + settings.num_samples):
        weights = np.ones(speakers.number)
        if draw:
            drawn = generator.integers(speakers.number, size=speakers.number)
            weights = np.bincount(drawn, minlength=speakers.number).astype(np.float64)
        for samples, runs in zip(found, systems, strict=True):
            for number, run in enumerate(runs):
                for key, rate in run.rates(weights):
                    samples.setdefault(key, np.empty(shape))[number, draw] = rate
        if draw and on_draw is not None:
            on_draw()
    for samples in found:
        for column, groups in speakers.columns.items():
            ranked = [group for group, (_, is_ranked) in groups.items() if is_ranked]
            if len(ranked) >= 2:
                for measure in _BY_GROUP:
                    rates = np.stack([samples[column, group, measure] for group in ranked])
                    samples[column, "", f"{measure}_gap"] = _gap(rates)
                    samples[column, "", f"{measure}_std"] = rates.std(axis=0)
    return found


def _gap(rates: np.ndarray) -> np.ndarray:
    """(runs, 1 + draws) from rates (groups, runs, 1 + draws)."""
    runs = np.arange(rates.shape[1])
    measured = rates[:, :, 0]
    return rates[measured.argmax(axis=0), runs] - rates[measured.argmin(axis=0), runs]


def _estimates(
    samples: _Samples, speakers: _Speakers, settings: DrawSettings
) -> VerificationEstimates:
    estimates = {key: _interval(values, settings) for key, values in samples.items()}
    columns = {}
    for column, groups in speakers.columns.items():
        spreads = [
            SpreadEstimates(
                estimates[column, "", f"{measure}_gap"], estimates[column, "", f"{measure}_std"]
            )
            if (column, "", f"{measure}_gap") in estimates
            else None
            for measure in _BY_GROUP
        ]
        rows = tuple(
            GroupEstimates(
                group, is_ranked, *(estimates[column, group, measure] for measure in _BY_GROUP)
            )
            for group, (_, is_ranked) in groups.items()
        )
        columns[column] = ColumnEstimates(rows, *spreads)
    return VerificationEstimates(
        estimates["", "", "eer"],
        estimates["", "", "minimum_dcf"],
        estimates["", "", "fmr"],
        estimates["", "", "fnmr"],
        columns,
    )


def _interval(values: np.ndarray, settings: DrawSettings) -> Estimate:
    """From (runs, 1 + draws); draws in which there is nothing to measure on are passed over."""
    measured, draws = values[:, 0], values[:, 1:].mean(axis=0)
    if len(measured) > 1:
        from scipy import stats

        standard_error = measured.std(ddof=1) / np.sqrt(len(measured))
        # Evenly spread quantiles in random order: the tails do not depend on luck.
        order = np.random.default_rng(settings.seed).permutation(draws.size)
        quantiles = (order + 0.5) / draws.size
        draws = draws + standard_error * stats.t.ppf(quantiles, df=len(measured) - 1)
    draws = draws[~np.isnan(draws)]
    if not draws.size:
        return Estimate(float(measured.mean()), float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1.0 - settings.level) / 2.0, (1.0 + settings.level) / 2.0])
    return Estimate(float(measured.mean()), float(low), float(high))
