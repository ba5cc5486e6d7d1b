"""Groups of the speakers of a trial list: how many they are, which is the hardest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from sb_alexa.corpora.speaker_table import SpeakerTable
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.metrics.verification_estimates import VerificationEstimates
from sb_alexa.report.figure_names import check_names, figure_name


@dataclass(frozen=True)
class TestedGroup:
    """A group of test speakers.

    Arguments
    ---------
    column, name : str
        Such as ``gender`` and ``F``.
    num_speakers, num_trials : int
        Of the test list; trials with both speakers in the group.
    is_ranked : bool
        Whether it has speakers enough to count as worst, best and in the spread.
    is_worst : bool
        Whether it is the ranked one with the highest EER in the baseline's mean over seeds.
    """

    __test__ = False  # not a test, whatever its name begins with

    column: str
    name: str
    num_speakers: int
    num_trials: int
    is_ranked: bool
    is_worst: bool

    @property
    def key(self) -> str:
        """Its name among the figures."""
        return figure_name(self.column, self.name)


def group_columns(
    table: SpeakerTable, names: Sequence[str], speakers: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Groups of speakers by column and, with several columns, by all of them at once.

    Arguments
    ---------
    table : SpeakerTable
        Of the corpus.
    names : sequence of str
        Columns of it.
    speakers : sequence of str
        Whom to look up.

    Returns
    -------
    dict of str to dict of str to str
        Group by speaker by column; empty where unknown.

    Raises
    ------
    ValueError
        If a column or a speaker is missing, or two groups would get the same name among figures.

    Example
    -------
    >>> table = SpeakerTable("a.csv", ("gender", "accent"), {"84": {"gender": "F", "accent": "us"}})
    >>> group_columns(table, ["gender", "accent"], ["84"])["gender x accent"]
    {'84': 'F us'}
    """
    columns = {name: table.values(name, speakers) for name in names}
    if len(names) > 1:
        cells = {one: [columns[name][one] for name in names] for one in speakers}
        columns[" x ".join(names)] = {
            one: " ".join(cell) if all(cell) else "" for one, cell in cells.items()
        }
    check_names({name: sorted({*groups.values()} - {""}) for name, groups in columns.items()})
    return columns


def measured_groups(
    trials: ScoredTrials,
    columns: Mapping[str, Mapping[str, str]],
    base: VerificationEstimates,
) -> tuple[TestedGroup, ...]:
    """Groups of the speakers in trials, column by column, the hardest first.

    Arguments
    ---------
    trials : ScoredTrials
        With speakers.
    columns : mapping
        Groups by speaker by column.
    base : VerificationEstimates
        Of these columns; its EER says which groups are hard. Groups that are not ranked come last.
    """
    found: list[TestedGroup] = []
    for column, group_of in columns.items():
        sides = (trials.enrol_speakers or (), trials.test_speakers or ())
        enrol, test = (np.array([group_of[one] for one in side]) for side in sides)
        estimates = sorted(
            base.columns[column].groups,
            key=lambda one: (not one.is_ranked, -np.nan_to_num(one.eer.value), one.group),
        )
        for place, one in enumerate(estimates):
            inside = (enrol == one.group) & (test == one.group)
            speakers = {one for side in sides for one in compress(side, inside)}
            worst = place == 0 and one.is_ranked
            found.append(
                TestedGroup(
                    column, one.group, len(speakers), int(inside.sum()), one.is_ranked, worst
                )
            )
    return tuple(found)
