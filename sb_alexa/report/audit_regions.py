"""Section of a page: the map, the lines that divide it, and its regions."""

from __future__ import annotations

from html import escape

from sb_alexa.fairness.cohort_gap import CohortGap
from sb_alexa.fairness.geographic_regions import GeographicSplit, Region
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.audit_column import MOST_SHOWN, column_section
from sb_alexa.report.audit_map import MapRegion, audit_map
from sb_alexa.report.audit_results import AuditResult
from sb_alexa.report.estimate_text import number_text
from sb_alexa.report.held_out_gaps import HeldOutGap, held_out_gaps
from sb_alexa.report.html_table import TableRow, estimate_cell, folded, html_table, p_value_cell
from sb_alexa.report.map_frame import latitude_text, longitude_text

HELD_OUT_NOTE = "rings: the half that chose them; dots with 95 % intervals: the other half"


def regions_section(result: AuditResult) -> str:
    """Render the map with all that was found on it.

    Arguments
    ---------
    result : AuditResult
        With places, a tree or a column of regions.

    Returns
    -------
    html : str
        Heading, map, text, tables.
    """
    parts = ['<h2 id="map">On the map</h2>']
    tree = result.tree
    regions = () if tree is None else tree.regions
    if result.places:
        parts.append(_figure(result, regions))
    if tree is not None:
        parts.append(f"<p>{_found(tree)}{measured_with_base(result)}</p>")
        if tree.splits:
            parts += [_splits(tree), _regions(tree)]
    for column in result.columns:
        if column.origin == "region":
            parts.append(f"<h3>Rates by {escape(column.name)}</h3>")
            parts.append(column_section(result, column))
    return "\n".join(parts)


def gap_estimate(gap: CohortGap) -> Estimate:
    """Points of a gap with their interval."""
    return Estimate(gap.points, gap.low, gap.high)


def measured_with_base(result: AuditResult) -> str:
    """A sentence on whose transcripts found the cohorts, where that is not the audited system."""
    if not result.base or result.base == result.system:
        return ""
    return (
        f" All this was found and measured with the transcripts of {escape(result.base)}; rates "
        f"of {escape(result.system)} follow below."
    )


def _map_regions(result: AuditResult, regions: tuple[Region, ...]) -> list[MapRegion]:
    """With rates of the audited system, where it was measured by region."""
    measured = {
        group.group: group
        for column in result.columns
        if column.origin == "region"
        for group in column.rates.groups
    }
    made = []
    for region in regions:
        group = measured.get(region.name)
        if group is None:
            made.append(MapRegion(region, region.held_out.wer, region.held_out.speakers))
        else:
            made.append(MapRegion(region, group.wer.value, group.num_speakers))
    return made


def _figure(result: AuditResult, regions: tuple[Region, ...]) -> str:
    coloured = (
        f"Colours are the WER of {escape(result.system)} for the held-out speakers of a region. "
        if len(regions) > 1
        else "One colour: no line through the map was confirmed. "
        if regions
        else ""
    )
    return f"""<figure class="wide">{audit_map(result.places, _map_regions(result, regions))}
<figcaption>{coloured}Dots are places, or several
that are close to each other; their area is the number of speakers,
{sum(place.num_speakers for place in result.places):,} in all. A degree is true to scale in the
middle of the map.</figcaption></figure>"""


def _found(tree: GeographicTree) -> str:
    rules = tree.rules
    without = (
        f" {tree.num_speakers_without_place:,} speakers without coordinates are not on the map."
        if tree.num_speakers_without_place
        else ""
    )
    how = (
        "Half of the speakers drew lines along parallels and meridians where the WER differs "
        f"most. The other half measured each: {tree.num_lines_tested} were drawn"
    )
    if not tree.num_lines_tested:
        return (
            "The map stays one region, and nothing was tested: no line along a parallel or a "
            f"meridian has {rules.min_speakers} speakers of either half on both of its sides and a "
            f"clear gap in the half that draws. More speakers may show differences.{without}"
        )
    if not tree.splits:
        return (
            f"{how}, none was confirmed. So the map stays one region, which does not say that "
            "place is without influence: smaller differences, or differences along other borders, "
            f"would need more speakers to be told from chance.{without}"
        )
    kept = sum(split.is_supported for split in tree.splits)
    return (
        f"{how}, {kept} confirmed at {100 * rules.level:g}&nbsp;% after Holm with at least "
        f"{rules.min_gap_points:g} points. They make {len(tree.regions)} regions, R1 being the one "
        f"with the highest WER in the half that drew them.{without}"
    )


def _splits(tree: GeographicTree) -> str:
    splits = tree.splits
    gaps = [
        HeldOutGap(
            f"{_worse_side(split)} of {_line(split)}",
            abs(split.discovery_points),
            gap_estimate(split.gap),
            split.is_supported,
        )
        for split in splits[:MOST_SHOWN]
    ]
    panel = held_out_gaps("Gaps of the lines, WER points", HELD_OUT_NOTE, gaps)
    rows = [_split_row(split) for split in splits]
    headings = ["Line", "Worse side", "Gap where drawn", "Gap held out"]
    headings += ["Speakers, worse / other", "p after Holm", "Confirmed"]
    table = html_table(headings, rows, text_columns=2)
    if len(splits) > MOST_SHOWN:
        table = folded(f"Table of all {len(splits)} lines", table)
    note = (
        "A line was chosen because its gap is large on the half that drew it, so that gap tends to "
        "be too large (the winner's curse); the held-out gap is the one to believe."
    )
    pale = (
        " Pale lines are not confirmed; they stay because a line within their sides is."
        if not all(split.is_supported for split in splits)
        else ""
    )
    many = "ranks many" if len(gaps) > 8 else "ranks"
    return f'<div class="{many}">{panel}</div>\n<p class="soft foot">{note}{pale}</p>\n{table}'


def _split_row(split: GeographicSplit) -> TableRow:
    gap = split.gap
    return TableRow(
        [
            _line(split),
            _worse_side(split),
            number_text(abs(split.discovery_points), sign=True),
            estimate_cell(gap_estimate(gap), sign=True),
            f"{gap.bottom.speakers:,} / {gap.top.speakers:,}",
            p_value_cell(split.adjusted_p_value),
            "yes" if split.is_supported else "no",
        ],
        "" if split.is_supported else "soft",
    )


def _line(split: GeographicSplit) -> str:
    text = latitude_text if split.axis == "latitude" else longitude_text
    return text(split.threshold_degrees)


def _worse_side(split: GeographicSplit) -> str:
    below, above = ("south", "north") if split.axis == "latitude" else ("west", "east")
    return below if split.discovery_points > 0 else above


def _regions(tree: GeographicTree) -> str:
    rows = [
        TableRow(
            [
                escape(region.name),
                _borders(region),
                f"{region.discovery.speakers:,}",
                number_text(region.discovery.wer),
                f"{region.held_out.speakers:,}",
                number_text(region.held_out.wer),
            ]
        )
        for region in tree.regions
    ]
    headings = ["Region", "Where", "Speakers, drew it", "WER %", "Speakers, held out", "WER %"]
    table = html_table(headings, rows, text_columns=2)
    number = len(tree.regions)
    return folded(f"Table of all {number} regions", table) if number > MOST_SHOWN else table


def _borders(region: Region) -> str:
    """In words, without the borders of the world."""
    sides = [
        f"north of {latitude_text(region.south)}" if region.south > -90 else "",
        f"south of {latitude_text(region.north)}" if region.north < 90 else "",
        f"east of {longitude_text(region.west)}" if region.west > -180 else "",
        f"west of {longitude_text(region.east)}" if region.east < 180 else "",
    ]
    return ", ".join(side for side in sides if side) or "everywhere"
