"""From scored trials to error rates by group with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from tqdm import tqdm

from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.metrics.score_calibration import cllr
from sb_alexa.metrics.verification import (
    VerificationCounts,
    cost_weights,
    det_curve,
    error_rates_at,
)
from sb_alexa.metrics.verification_bootstrap import (
    DrawSettings,
    bootstrap_verification,
    bootstrap_verification_difference,
)
from sb_alexa.metrics.verification_estimates import (
    ColumnEstimates,
    Estimate,
    SpreadEstimates,
    VerificationEstimates,
)
from sb_alexa.metrics.verification_groups import GroupErrors, Spread, errors_by_group
from sb_alexa.report.decision import Decision
from sb_alexa.report.figure_names import check_names
from sb_alexa.report.verification_results import (
    ColumnResult,
    GroupResult,
    SpreadResult,
    VerificationComparison,
    VerificationResult,
)

# Column of groups that a score file itself names.
FILE_COLUMN = "group"


def measure_verification(
    trials: ScoredTrials,
    decision: Decision,
    *,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    settings: DrawSettings | None = None,
    base: tuple[ScoredTrials, Decision] | None = None,
    progress: bool = False,
) -> VerificationResult:
    """Measure error rates overall and by group, with intervals where speakers are known.

    Arguments
    ---------
    trials : ScoredTrials
        Of the system. Groups that they name themselves make the column `group`.
    decision : Decision
        The threshold that all groups share.
    columns : mapping of str to mapping of str to str, optional
        By column (such as "gender") the group of every speaker, empty where unknown.
    settings : DrawSettings, optional
        Of the bootstrap and of the detection cost.
    base : (ScoredTrials, Decision), optional
        Another system on the same trials, in any order, to compare with.
    progress : bool
        Whether to show a bar on a terminal.

    Returns
    -------
    VerificationResult
        With everything that the report shows.

    Raises
    ------
    ValueError
        If columns are asked for or systems compared although speakers are not known, a column lacks
        a speaker, no trial lies within a group, two groups would get the same name among figures,
        or the two systems have different trials.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> speakers = [f"{number:02d}" for number in range(24)]
    >>> pairs = [(one, other) for one in speakers for other in speakers]
    >>> same = np.array([one == other for one, other in pairs])
    >>> trials = ScoredTrials(
    ...     "mine",
    ...     generator.normal(size=len(pairs)) + 2 * same,
    ...     same,
    ...     enrol_speakers=[one for one, _ in pairs],
    ...     test_speakers=[other for _, other in pairs],
    ... )
    >>> result = measure_verification(
    ...     trials,
    ...     Decision.given(1.0),
    ...     columns={"half": {one: "ab"[one < "12"] for one in speakers}},
    ...     settings=DrawSettings(num_samples=50),
    ... )
    >>> [group.errors.num_speakers for group in result.columns[0].groups]
    [12, 12]
    >>> result.columns[0].eer.gap.low < result.columns[0].eer.gap.value
    True
    """
    settings, columns = settings or DrawSettings(), dict(columns or {})
    _check(trials, columns, base)
    sides = _sides(trials, columns)
    check_names({column: sorted({*one, *other} - {""}) for column, (one, other) in sides.items()})
    estimates = _bootstrap(trials, decision, columns, settings, progress)
    curve = det_curve(trials.scores, trials.is_target)
    counts = error_rates_at(trials.scores, trials.is_target, decision.threshold)
    found = [
        _column(trials, decision, column, estimates.columns[column] if estimates else None, groups)
        for column, groups in sides.items()
    ]
    calibration = decision.calibration
    comparison = None
    if base is not None:
        differences = _compare(trials, decision, base, columns, settings, progress)
        comparison = VerificationComparison(base[0].name, base[1], differences)
    minimum = curve.minimum_dcf(
        target_prior=settings.target_prior,
        miss_cost=settings.miss_cost,
        false_alarm_cost=settings.false_alarm_cost,
    )
    return VerificationResult(
        system=trials.name,
        decision=decision,
        counts=counts,
        num_speakers=len(trials.speakers) or None,
        eer=estimates.eer if estimates else _bare(curve.equal_error_rate().rate),
        min_dcf=estimates.minimum_dcf if estimates else _bare(minimum.cost),
        fmr=estimates.fmr if estimates else _bare(counts.fmr),
        fnmr=estimates.fnmr if estimates else _bare(counts.fnmr),
        dcf=_detection_cost(counts, settings) if decision.is_honest else None,
        cllr=cllr(calibration.log_likelihood_ratios(trials.scores), trials.is_target)
        if calibration
        else None,
        curve=curve,
        columns=tuple(found),
        settings=settings,
        comparison=comparison,
    )


def _check(
    trials: ScoredTrials,
    columns: Mapping[str, Mapping[str, str]],
    base: tuple[ScoredTrials, Decision] | None,
) -> None:
    if trials.enrol_speakers is not None:
        return
    if columns:
        raise ValueError(
            f"{trials.name} does not tell who speaks, so no speaker can be looked up "
            f"({', '.join(columns)}); write a header line with label, score, enrol and test"
        )
    if base is not None:
        raise ValueError(
            f"{trials.name} does not tell who speaks, so differences have no intervals; write a "
            "header line with label, score, enrol and test"
        )


def _sides(
    trials: ScoredTrials, columns: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Groups of the enrolled and of the tested speakers, by column."""
    if trials.enrol_groups is not None and trials.test_groups is not None:
        return {FILE_COLUMN: (trials.enrol_groups, trials.test_groups)}
    enrol, test = trials.enrol_speakers or (), trials.test_speakers or ()
    for column, group_of in columns.items():
        absent = [speaker for speaker in trials.speakers if speaker not in group_of]
        if absent:
            raise ValueError(
                f"column {column!r} has no entry for {len(absent)} of {len(trials.speakers)} "
                f"speakers, such as {absent[0]!r}; give an empty group where it is unknown"
            )
    return {
        column: ([group_of[one] for one in enrol], [group_of[one] for one in test])
        for column, group_of in columns.items()
    }


def _bootstrap(
    trials: ScoredTrials,
    decision: Decision,
    columns: Mapping[str, Mapping[str, str]],
    settings: DrawSettings,
    progress: bool,
) -> VerificationEstimates | None:
    if trials.enrol_speakers is None or trials.test_speakers is None:
        return None
    with _bar("Resampling speakers", settings, progress) as bar:
        return bootstrap_verification(
            trials.scores,
            trials.is_target,
            trials.enrol_speakers,
            trials.test_speakers,
            threshold=decision.threshold,
            columns=columns,
            settings=settings,
            on_draw=bar.update,
        )


def _compare(
    trials: ScoredTrials,
    decision: Decision,
    base: tuple[ScoredTrials, Decision],
    columns: Mapping[str, Mapping[str, str]],
    settings: DrawSettings,
    progress: bool,
) -> VerificationEstimates:
    other, other_decision = base
    assert trials.enrol_speakers is not None and trials.test_speakers is not None
    with _bar("Comparing systems", settings, progress) as bar:
        return bootstrap_verification_difference(
            trials.scores,
            trials.scores_of(other),
            trials.is_target,
            trials.enrol_speakers,
            trials.test_speakers,
            threshold=decision.threshold,
            base_threshold=other_decision.threshold,
            columns=columns,
            settings=settings,
            on_draw=bar.update,
        )


@contextmanager
def _bar(title: str, settings: DrawSettings, progress: bool) -> Iterator[tqdm]:
    # disable=None: a bar on a terminal, silence in a log file.
    disable = None if progress else True
    with tqdm(total=settings.num_samples, desc=title, unit="draw", disable=disable) as bar:
        yield bar


def _column(
    trials: ScoredTrials,
    decision: Decision,
    column: str,
    estimates: ColumnEstimates | None,
    groups: tuple[Sequence[str], Sequence[str]],
) -> ColumnResult:
    report = errors_by_group(
        trials.scores,
        trials.is_target,
        *groups,
        threshold=decision.threshold,
        enrol_speakers=trials.enrol_speakers,
        test_speakers=trials.test_speakers,
    )
    of_group = {one.group: one for one in estimates.groups} if estimates else {}
    enrol, test = (np.asarray(side, dtype=object) for side in groups)
    rows = []
    for errors in report.groups:
        known = of_group.get(errors.group)
        inside = (enrol == errors.group) & (test == errors.group)
        rows.append(
            GroupResult(
                errors,
                known.eer if known else _bare(_rate(errors)),
                known.fmr if known else _bare(errors.counts.fmr),
                known.fnmr if known else _bare(errors.counts.fnmr),
                det_curve(trials.scores[inside], trials.is_target[inside])
                if errors.equal_error
                else None,
            )
        )
    rows.sort(key=lambda row: (not row.errors.is_ranked, -_rate(row.errors, 0.0), row.name))
    return ColumnResult(
        column,
        tuple(rows),
        report.cross_group,
        report.unknown,
        _spread(report.eer_spread, estimates.eer_spread if estimates else None),
        _spread(report.fmr_spread, estimates.fmr_spread if estimates else None),
        _spread(report.fnmr_spread, estimates.fnmr_spread if estimates else None),
    )


def _spread(spread: Spread | None, estimates: SpreadEstimates | None) -> SpreadResult | None:
    if spread is None:
        return None
    if estimates is None:
        return SpreadResult(spread, _bare(spread.gap), _bare(spread.std))
    return SpreadResult(spread, estimates.gap, estimates.std)


def _rate(errors: GroupErrors, otherwise: float = math.nan) -> float:
    return errors.equal_error.rate if errors.equal_error else otherwise


def _bare(value: float) -> Estimate:
    """Without an interval."""
    return Estimate(value, math.nan, math.nan)


def _detection_cost(counts: VerificationCounts, settings: DrawSettings) -> float:
    miss, alarm = cost_weights(settings.target_prior, settings.miss_cost, settings.false_alarm_cost)
    return (miss * counts.fnmr + alarm * counts.fmr) / 100.0
