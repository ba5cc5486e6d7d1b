"""Error rates of verification with intervals, as a whole and by group, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from sb_alexa.metrics.verification import DetCurve, VerificationCounts
from sb_alexa.metrics.verification_bootstrap import DrawSettings
from sb_alexa.metrics.verification_estimates import Estimate, VerificationEstimates
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS, GroupErrors, Spread
from sb_alexa.report.decision import Decision


@dataclass(frozen=True, eq=False)
class GroupResult:
    """Errors of the trials within one group; NaN where there is nothing to measure on.

    Arguments
    ---------
    errors : GroupErrors
        As measured.
    eer, fmr, fnmr : Estimate
        Percent, with intervals where speakers are known; the last two at the shared threshold.
    curve : DetCurve | None
        None where all trials are of one kind.
    """

    errors: GroupErrors
    eer: Estimate
    fmr: Estimate
    fnmr: Estimate
    curve: DetCurve | None

    @property
    def name(self) -> str:
        """The group's."""
        return self.errors.group

    @property
    def marked_name(self) -> str:
        """With an asterisk if it is too small to be ranked."""
        return self.name if self.errors.is_ranked else f"{self.name} *"


@dataclass(frozen=True)
class SpreadResult:
    """How far the ranked groups lie apart in one rate.

    Arguments
    ---------
    spread : Spread
        As measured, with the names of the worst and of the best group.
    gap, std : Estimate
        Its figures in points, with intervals where speakers are known.
    """

    spread: Spread
    gap: Estimate
    std: Estimate


@dataclass(frozen=True, eq=False)
class ColumnResult:
    """What one column of a speaker table tells.

    Arguments
    ---------
    column : str
        Its name.
    groups : tuple of GroupResult
        Ranked ones by descending EER, then the others by name.
    cross_group, unknown : VerificationCounts
        Trials between two groups, and with a speaker whose group is not known.
    eer, fmr, fnmr : SpreadResult | None
        None with fewer than two ranked groups.
    """

    column: str
    groups: tuple[GroupResult, ...]
    cross_group: VerificationCounts
    unknown: VerificationCounts
    eer: SpreadResult | None
    fmr: SpreadResult | None
    fnmr: SpreadResult | None

    @property
    def has_small_groups(self) -> bool:
        """Whether a group is shown and not ranked."""
        return any(not group.errors.is_ranked for group in self.groups)


@dataclass(frozen=True)
class VerificationComparison:
    """A system against another on the same trials and the same draws of speakers.

    Arguments
    ---------
    base : str
        Name of the other.
    base_decision : Decision
        Its threshold.
    differences : VerificationEstimates
        Rates of the system minus those of the other.
    """

    base: str
    base_decision: Decision
    differences: VerificationEstimates


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """All that is measured on one list of trials.

    Arguments
    ---------
    system : str
        Whose scores.
    decision : Decision
        The shared threshold.
    counts : VerificationCounts
        Decisions on all trials.
    num_speakers : int | None
        In the trials; None where they are not known, and then there are no intervals.
    eer, fmr, fnmr : Estimate
        Percent over all trials.
    min_dcf : Estimate
        Least normalised detection cost.
    dcf : float | None
        Normalised detection cost at the threshold; None if that is merely where errors are equal.
    cllr : float | None
        Bits, of calibrated scores; None without a calibration.
    curve : DetCurve
        Over all trials.
    columns : tuple of ColumnResult
        In the order asked for.
    settings : DrawSettings
        Of the bootstrap.
    comparison : VerificationComparison | None
        With another system, where one was given.
    """

    system: str
    decision: Decision
    counts: VerificationCounts
    num_speakers: int | None
    eer: Estimate
    min_dcf: Estimate
    fmr: Estimate
    fnmr: Estimate
    dcf: float | None
    cllr: float | None
    curve: DetCurve
    columns: tuple[ColumnResult, ...]
    settings: DrawSettings
    comparison: VerificationComparison | None = None

    @property
    def num_trials(self) -> int:
        """All of them."""
        return self.counts.num_targets + self.counts.num_non_targets

    @property
    def cautions(self) -> list[str]:
        """What a reader must know before believing the figures, in sentences."""
        said = []
        if not self.decision.is_honest:
            said.append(
                "The shared threshold was chosen on these very trials, so FMR and FNMR are "
                "better than a deployed system's; fit it on development trials."
            )
        if self.num_speakers is None:
            groups = (
                f", and groups are ranked although they may have fewer than {FEWEST_SPEAKERS} "
                "speakers"
            )
            said.append(
                "The score file does not tell speakers: there are no intervals"
                f"{groups if self.columns else ''}."
            )
        elif self.num_speakers < 2 * FEWEST_SPEAKERS:
            said.append(
                f"With {self.num_speakers} speakers all intervals are narrower than they should be."
            )
        if any(column.has_small_groups for column in self.columns):
            said.append(
                f"Groups marked * have target trials of fewer than {FEWEST_SPEAKERS} speakers, or "
                "trials of one kind only: they are shown, and count neither as worst nor as best."
            )
        return said
