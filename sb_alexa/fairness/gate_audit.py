"""Does a gated model compute less, or recognise worse, for some groups of speakers?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sb_alexa.metrics.bootstrap import bootstrap_ratio, bootstrap_ratio_difference
from sb_alexa.metrics.error_rate import ErrorCounts
from sb_alexa.metrics.gate_statistics import GateCounts, ToggleCounts

# With fewer, the bootstrap has too few speakers to draw from and its intervals are too narrow.
FEWEST_SPEAKERS = 10


@dataclass(frozen=True)
class SpeakerCounts:
    """What was measured on utterances of one speaker, or of several.

    Arguments
    ---------
    utterances : int
        How many.
    errors : ErrorCounts
        Word errors.
    gates : GateCounts
        Open gates and multiply-adds.

    Example
    -------
    >>> one = SpeakerCounts(1, ErrorCounts(deletions=1, words=4))
    >>> (one + one).utterances, (one + one).errors.error_rate
    (2, 25.0)
    """

    utterances: int = 0
    errors: ErrorCounts = field(default_factory=ErrorCounts)
    gates: GateCounts = field(default_factory=GateCounts)

    def __add__(self, other: SpeakerCounts) -> SpeakerCounts:
        if not isinstance(other, SpeakerCounts):
            return NotImplemented
        return SpeakerCounts(
            self.utterances + other.utterances,
            self.errors + other.errors,
            self.gates + other.gates,
        )


def _skipped(toggles: ToggleCounts) -> tuple[float, float]:
    return toggles.possible - toggles.kept, toggles.possible


# Each measure is the percentage that a part is of a whole, both sums over utterances.
MEASURES: Mapping[str, Callable[[SpeakerCounts], tuple[float, float]]] = {
    "wer": lambda counts: (counts.errors.errors, counts.errors.words),
    "compute": lambda counts: (counts.gates.gated.total, counts.gates.dense.total),
    "skip_feed_forward": lambda counts: _skipped(counts.gates.feed_forward),
    "skip_query": lambda counts: _skipped(counts.gates.query),
    "skip_key": lambda counts: _skipped(counts.gates.key),
}


@dataclass(frozen=True)
class Estimate:
    """A percentage, or a difference of two in points, with its interval.

    Arguments
    ---------
    value : float | None
        None where there is nothing to measure on.
    low, high : float | None
        95 % interval by resampling speakers; None for fewer than two speakers.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class GroupAudit:
    """One group of speakers beside all other speakers.

    Arguments
    ---------
    column, group : str
        Name and value of the column that makes the group.
    speakers : int
        How many are in it.
    counts : SpeakerCounts
        Their sum.
    rates : mapping of str to Estimate
        Percent by measure (see `MEASURES`): word error rate, multiply-adds of the dense encoder's,
        toggles skipped by kind.
    differences : mapping of str to Estimate
        The same minus that of the rest: the other speakers whose value in the column is known.
    """

    column: str
    group: str
    speakers: int
    counts: SpeakerCounts
    rates: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]

    @property
    def is_small(self) -> bool:
        """Whether it has too few speakers for its intervals to be believed."""
        return self.speakers < FEWEST_SPEAKERS


def group_speakers(column: str, values: Mapping[str, str]) -> dict[str, list[str]]:
    """Put speakers with the same value of a column together.

    Arguments
    ---------
    column : str
        Its name, for error messages.
    values : mapping of str to str
        Value by speaker. Speakers whose value is empty are left out.

    Returns
    -------
    dict of str to list of str
        Speakers by value, in alphabetical order of the values.

    Raises
    ------
    ValueError
        If no speaker has a value, or each has a value of its own.

    Example
    -------
    >>> group_speakers("gender", {"84": "M", "14": "F", "60": "M", "7": ""})
    {'F': ['14'], 'M': ['84', '60']}
    """
    groups: dict[str, list[str]] = {}
    for speaker, value in values.items():
        if value:
            groups.setdefault(value, []).append(speaker)
    if not groups:
        raise ValueError(
            f"column {column!r} is empty for all {len(values)} speakers; "
            "choose another, or fill it in the speaker table"
        )
    known = sum(map(len, groups.values()))
    if known > 1 and len(groups) == known:
        raise ValueError(
            f"column {column!r} gives each of {known} speakers a group of its own, such as "
            f"{next(iter(groups))!r}; choose a column of groups, or add one to the speaker table"
        )
    return dict(sorted(groups.items()))


def audit_groups(
    speakers: Mapping[str, SpeakerCounts], column: str, groups: Mapping[str, Sequence[str]]
) -> list[GroupAudit]:
    """Compare every group of a column with all others of it together.

    Arguments
    ---------
    speakers : mapping of str to SpeakerCounts
        What was measured, by speaker.
    column : str
        Name of the column.
    groups : mapping of str to sequence of str
        Speakers by group, see `group_speakers`.

    Returns
    -------
    list of GroupAudit
        In the order of the groups.

    Reference
    ---------
    Intervals by resampling whole speakers, see `sb_alexa.metrics.bootstrap`; those of differences
    resample the group and the rest independently. Each interval is for itself: where many groups
    are looked at, one in twenty excludes 0 by chance.

    Example
    -------
    >>> heard = SpeakerCounts(1, ErrorCounts(words=9))
    >>> missed = SpeakerCounts(1, ErrorCounts(deletions=3, words=9))
    >>> speakers = {"14": heard, "15": heard, "84": missed, "60": missed}
    >>> women, men = audit_groups(speakers, "gender", {"F": ["14", "15"], "M": ["84", "60"]})
    >>> women.rates["wer"].value, round(men.differences["wer"].value, 1), men.is_small
    (0.0, 33.3, True)
    """
    return [
        _audit(
            column,
            group,
            [speakers[speaker] for speaker in members],
            [speakers[s] for other, rest in groups.items() if other != group for s in rest],
        )
        for group, members in groups.items()
    ]


def overall_rates(speakers: Sequence[SpeakerCounts]) -> dict[str, Estimate]:
    """The measures over all speakers, with speaker-bootstrap intervals.

    Arguments
    ---------
    speakers : sequence of SpeakerCounts
        One for each speaker.

    Returns
    -------
    dict of str to Estimate
        Percent by measure.
    """
    return {
        name: _rate([measure(counts) for counts in speakers]) for name, measure in MEASURES.items()
    }


def _audit(
    column: str, group: str, members: list[SpeakerCounts], rest: list[SpeakerCounts]
) -> GroupAudit:
    differences = {
        name: _difference([measure(one) for one in members], [measure(one) for one in rest])
        for name, measure in MEASURES.items()
    }
    total = sum(members, SpeakerCounts())
    return GroupAudit(column, group, len(members), total, overall_rates(members), differences)


def _rate(counts: list[tuple[float, float]]) -> Estimate:
    value = _ratio(counts)
    if value is None or len(counts) < 2:
        return Estimate(value)
    low, high = bootstrap_ratio(counts)
    return Estimate(value, 100 * low, 100 * high)


def _difference(counts: list[tuple[float, float]], rest: list[tuple[float, float]]) -> Estimate:
    value, other = _ratio(counts), _ratio(rest)
    if value is None or other is None:
        return Estimate()
    if min(len(counts), len(rest)) < 2:
        return Estimate(value - other)
    low, high = bootstrap_ratio_difference(counts, rest)
    return Estimate(value - other, 100 * low, 100 * high)


def _ratio(counts: list[tuple[float, float]]) -> float | None:
    """Percent of the sums."""
    whole = sum(whole for _, whole in counts)
    return 100 * sum(part for part, _ in counts) / whole if whole else None
