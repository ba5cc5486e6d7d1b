"""The folder of an audit: page, tables, and the cohorts that were found."""

from __future__ import annotations

import os
from pathlib import Path

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.fairness.cohort_model import CohortModel
from sb_alexa.report.audit_markdown import audit_markdown
from sb_alexa.report.audit_page import audit_page
from sb_alexa.report.audit_results import AuditResult

PAGE, TABLES = "index.html", "report.md"
REGIONS, ZIP_COHORTS, VOICE_COHORTS = "regions.json", "zip_cohorts.json", "voice_cohorts.json"


def write_audit_files(
    folder: str | os.PathLike[str],
    result: AuditResult,
    *,
    synthetic: bool = False,
    command: str = "",
) -> list[Path]:
    """Write `index.html`, `report.md` and a file for each kind of cohorts that was found.

    Arguments
    ---------
    folder : str or path-like
        Created when it is missing; each file is replaced in one step.
    result : AuditResult
        What was measured.
    synthetic : bool
        Whether the speech is synthetic, which the page then says at its top.
    command : str
        What was run.

    Returns
    -------
    list of pathlib.Path
        What was written, the page first.
    """
    folder = Path(folder)
    page = audit_page(result, synthetic=synthetic, command=command)
    written = []
    for name, content in ((PAGE, page), (TABLES, audit_markdown(result) + "\n")):
        with replaced_atomically(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
        written.append(folder / name)
    found = (
        (REGIONS, result.tree),
        (ZIP_COHORTS, result.partition),
        (VOICE_COHORTS, result.voices),
    )
    for name, cohorts in found:
        if cohorts is not None:
            CohortModel(cohorts).save(folder / name)
            written.append(folder / name)
    return written
