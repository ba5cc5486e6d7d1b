"""Measure a verification system and write a report folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.inference.score_files import write_scores
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.metrics.verification_bootstrap import DrawSettings
from sb_alexa.report.decision import Decision
from sb_alexa.report.verification_markdown import verification_markdown
from sb_alexa.report.verification_measurement import measure_verification
from sb_alexa.report.verification_page import verification_page
from sb_alexa.report.verification_results import VerificationResult

PAGE, TABLES, SCORES = "index.html", "report.md", "scores.csv"


def write_verification_report(
    folder: str | os.PathLike[str],
    trials: ScoredTrials,
    decision: Decision,
    *,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    settings: DrawSettings | None = None,
    base: tuple[ScoredTrials, Decision] | None = None,
    synthetic: bool = False,
    command: str = "",
    progress: bool = False,
) -> VerificationResult:
    """Measure, and write `index.html`, `report.md` and, where recordings are named, `scores.csv`.

    Arguments
    ---------
    folder : str or path-like
        Created when it is missing; each file is replaced in one step.
    trials, decision, columns, settings, base, progress
        As `measure_verification`.
    synthetic, command
        As `verification_page`.

    Returns
    -------
    VerificationResult
        What was measured; `verification_figures` makes flat figures of it.

    Raises
    ------
    ValueError
        As `measure_verification`.
    """
    result = measure_verification(
        trials, decision, columns=columns, settings=settings, base=base, progress=progress
    )
    write_verification_files(folder, result, synthetic=synthetic, command=command)
    if trials.enrol is not None:
        write_scores(Path(folder) / SCORES, trials)
    return result


def write_verification_files(
    folder: str | os.PathLike[str],
    result: VerificationResult,
    *,
    synthetic: bool = False,
    command: str = "",
) -> None:
    """Write the page and the tables of what has been measured; arguments as above."""
    page = verification_page(result, synthetic=synthetic, command=command)
    tables = verification_markdown(result) + "\n"
    for name, content in ((PAGE, page), (TABLES, tables)):
        with replaced_atomically(Path(folder) / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
