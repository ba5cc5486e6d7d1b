"""Section of a page: by how much two verification systems differ."""

from __future__ import annotations

import math
from html import escape

from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.estimate_text import estimate_text, number_text
from sb_alexa.report.verification_results import VerificationComparison, VerificationResult

_MEASURES = ("eer", "fmr", "fnmr")


def comparison_section(result: VerificationResult, comparison: VerificationComparison) -> str:
    """Render paired differences.

    Arguments
    ---------
    result : VerificationResult
        Of the system.
    comparison : VerificationComparison
        With the other.

    Returns
    -------
    html : str
        Heading, text and table.
    """
    differences = comparison.differences
    rows = [
        _row("EER, all", result.eer, differences.eer),
        _row("least detection cost", result.min_dcf, differences.minimum_dcf, digits=3),
        _row("FMR, all", result.fmr, differences.fmr),
        _row("FNMR, all", result.fnmr, differences.fnmr),
    ]
    for column in result.columns:
        estimates = differences.columns[column.column]
        of_group = {one.group: one for one in estimates.groups}
        for measure in _MEASURES:
            rows += [
                _row(
                    f"{measure.upper()}, {column.column} {group.marked_name}",
                    getattr(group, measure),
                    getattr(of_group[group.name], measure),
                )
                for group in column.groups
            ]
            own, other = getattr(column, measure), getattr(estimates, f"{measure}_spread")
            if own is not None and other is not None:
                name = f"of {measure.upper()}, {column.column}"
                rows.append(_row(f"gap {name}", own.gap, other.gap))
                rows.append(_row(f"std {name}", own.std, other.std))
    decision = comparison.base_decision
    return f"""<h2>Against {escape(comparison.base)}</h2>
<p>Both systems on the same trials and the same draws of speakers, so that what makes a speaker hard
for both cancels. A negative difference is an improvement. The threshold of
{escape(comparison.base)} is {decision.threshold:.4g}; it was {escape(decision.origin)}. Bold are
intervals without 0; one in twenty is by chance alone.</p>
<div class="scroll"><table>
<thead><tr><th></th><th class="number">{escape(result.system)}</th>
<th class="number">{escape(comparison.base)}</th><th class="number">Difference</th></tr></thead>
<tbody>{"".join(rows)}</tbody>
</table></div>"""


def _row(name: str, own: Estimate, difference: Estimate, *, digits: int = 2) -> str:
    # What the other has follows: values are not resampled.
    base = own.value - difference.value if not math.isnan(difference.value) else math.nan
    kind = "number sure" if difference.excludes_zero else "number"
    values = "".join(
        f'<td class="number">{number_text(value, digits=digits)}</td>'
        for value in (own.value, base)
    )
    return (
        f"<tr><td>{escape(name)}</td>{values}"
        f'<td class="{kind}">{estimate_text(difference, digits=digits, sign=True)}</td></tr>'
    )
