"""Sections of a page: cohorts of ZIP codes and of voices."""

from __future__ import annotations

import math
from html import escape

from sb_alexa.fairness.cohort_gap import CohortCounts, CohortGap
from sb_alexa.fairness.demographic_partition import DemographicPartition
from sb_alexa.fairness.embedding_cohorts import EmbeddingCluster, EmbeddingCohorts
from sb_alexa.report.audit_column import MOST_SHOWN, column_section
from sb_alexa.report.audit_regions import HELD_OUT_NOTE, gap_estimate, measured_with_base
from sb_alexa.report.audit_results import AuditResult
from sb_alexa.report.estimate_text import number_text
from sb_alexa.report.held_out_gaps import HeldOutGap, held_out_gaps
from sb_alexa.report.html_table import TableRow, estimate_cell, folded, html_table, p_value_cell


def partition_section(result: AuditResult, partition: DemographicPartition) -> str:
    """Render all ways in which ZIP codes were divided, and the rates of the chosen one.

    Arguments
    ---------
    result : AuditResult
        Whose columns of ZIP cohorts are shown.
    partition : DemographicPartition
        What was found.

    Returns
    -------
    html : str
        Heading, text, bars and tables.
    """
    chosen, number = partition.chosen, len(partition.partitions)
    gap = chosen.gap
    verdict = _verdict(gap, chosen.adjusted_p_value)
    tried = "1 way" if number == 1 else f"{number} ways"
    left_out = (
        f" {partition.num_speakers_without_cohort:,} speakers are in neither cohort: their ZIP "
        "code or its attribute is unknown."
        if partition.num_speakers_without_cohort
        else ""
    )
    return f"""<h2 id="zip">By what is known about ZIP codes</h2>
<p>{tried} to divide the ZIP codes in two {"was" if number == 1 else "were"} tried. One half of the
speakers chose the one with the largest gap: the bottom cohort is <b>{escape(chosen.bottom)}</b>,
{len(partition.bottom_zip_codes):,} of
{len(partition.bottom_zip_codes) + len(partition.top_zip_codes):,} codes.
{verdict}{left_out}{measured_with_base(result)}</p>
{_ways(partition)}
{_columns(result, "zip")}"""


def voices_section(result: AuditResult, voices: EmbeddingCohorts) -> str:
    """Render clusters of voices, and the rates of the cohorts made of them.

    Arguments
    ---------
    result : AuditResult
        Whose columns of voice cohorts are shown.
    voices : EmbeddingCohorts
        What was found.

    Returns
    -------
    html : str
        Heading, text, bars and tables.
    """
    clusters = voices.clusters
    bottom = sum((c.discovery for c in clusters if c.is_bottom), CohortCounts())
    top = sum((c.discovery for c in clusters if not c.is_bottom), CohortCounts())
    number = sum(cluster.is_bottom for cluster in clusters)
    gap = HeldOutGap("bottom cohort", bottom.wer - top.wer, gap_estimate(voices.gap))
    panel = held_out_gaps("Gap of the bottom cohort, WER points", HELD_OUT_NOTE, [gap])
    rows = [_cluster_row(rank, cluster) for rank, cluster in enumerate(clusters, start=1)]
    headings = ["Cluster, by rank", "Cohort", "Speakers, ranked it", "WER %"]
    table = html_table([*headings, "Speakers, held out", "WER %"], rows, text_columns=2)
    if len(clusters) > MOST_SHOWN:
        table = folded(f"Table of all {len(clusters)} clusters", table)
    which = "The worst one is" if number == 1 else f"The worst {number} are"
    return f"""<h2 id="voices">By voice</h2>
<p>Speaker embeddings were divided into {len(clusters)} clusters of similar voices; no labels enter.
One half of the speakers made the clusters and ranked them. {which} the bottom cohort.
{_verdict(voices.gap, voices.gap.p_value)}{measured_with_base(result)}</p>
<div class="ranks">{panel}</div>
{table}
{_columns(result, "voice")}"""


def _ways(partition: DemographicPartition) -> str:
    """All partitions that were tried, as a panel and as a table."""
    number = len(partition.partitions)
    gaps = [
        HeldOutGap(
            one.bottom, one.discovery_points, gap_estimate(one.gap), one.adjusted_p_value <= 0.05
        )
        for one in partition.partitions[:MOST_SHOWN]
    ]
    title = "Gap of each way to divide, WER points"
    panel = held_out_gaps(title, HELD_OUT_NOTE, gaps)
    pale = (
        ""
        if all(gap.is_supported for gap in gaps)
        else '<p class="soft foot">Pale: p above 5&nbsp;% after Holm\'s correction over all ways '
        "to divide.</p>\n"
    )
    rows = [
        TableRow(
            [
                escape(one.bottom),
                number_text(one.discovery_points, sign=True),
                estimate_cell(gap_estimate(one.gap), sign=True),
                _percent(one.gap.share_of_speakers),
                p_value_cell(one.adjusted_p_value),
            ]
        )
        for one in partition.partitions
    ]
    headings = ["Bottom cohort", "Gap where chosen", "Gap held out", "Share of speakers"]
    table = html_table([*headings, "p after Holm"], rows)
    if number > MOST_SHOWN:
        table = folded(f"Table of all {number} ways", table)
    return f'<div class="{_kind(len(gaps))}">{panel}</div>\n{pale}{table}'


def _verdict(gap: CohortGap, p_value: float) -> str:
    held_out = gap_estimate(gap)
    relative = "" if math.isinf(gap.relative) else f", or {100 * gap.relative:.0f}&nbsp;%,"
    text = (
        f"Among held-out speakers its WER lies {number_text(held_out.value)}&nbsp;"
        f"[{number_text(held_out.low)},&nbsp;{number_text(held_out.high)}] points{relative} above "
        f"that of the top cohort. It has {_percent(gap.share_of_speakers)} of these speakers and "
        f"{_percent(gap.share_of_words)} of their words."
    )
    if p_value <= 0.05:
        return text
    return f"{text} That can be chance (p = {p_value:.2f})."


def _cluster_row(rank: int, cluster: EmbeddingCluster) -> TableRow:
    cells = [str(rank), "<b>bottom</b>" if cluster.is_bottom else "top"]
    for half in (cluster.discovery, cluster.held_out):
        cells += [f"{half.speakers:,}", number_text(half.wer)]
    return TableRow(cells)


def _columns(result: AuditResult, origin: str) -> str:
    parts = []
    for column in result.columns:
        if column.origin == origin:
            parts.append(f"<h3>Rates by {escape(column.name)}</h3>")
            parts.append(column_section(result, column))
    return "\n".join(parts)


def _kind(number: int) -> str:
    return "ranks many" if number > 8 else "ranks"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}&nbsp;%"
