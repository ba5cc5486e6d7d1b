"""What `sb-alexa gates` prints and writes as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sb_alexa.fairness.gate_audit import FEWEST_SPEAKERS, Estimate, GroupAudit, SpeakerCounts
from sb_alexa.inference.gated_asr import GatedRecognition
from sb_alexa.report.figure_names import figure_name
from sb_alexa.report.markdown_table import aligned_table

_KINDS = {"feed_forward": "feed-forward", "query": "queries", "key": "keys"}
_MEASURES = {
    "wer": "WER %",
    "compute": "compute %",
    "skip_feed_forward": "feed-forward skipped %",
    "skip_query": "queries skipped %",
    "skip_key": "keys skipped %",
}
_UNKNOWN = "–"


def recording_summary(
    name: str, found: GatedRecognition, kinds: Sequence[str], seconds_per_frame: float
) -> str:
    """Text, operations, and what was computed by kind and block.

    Arguments
    ---------
    name : str
        Of the recording.
    found : GatedRecognition
        What was recognised.
    kinds : sequence of str
        Kinds of toggles that the model has.
    seconds_per_frame : float
        Of the encoder.

    Returns
    -------
    str
        Some lines.
    """
    counts = found.counts
    if not counts.frames:
        return f"{name}: {found.update.audio_s:.2f} s, shorter than a frame"
    lines = [
        f"{name}: {found.update.audio_s:.2f} s, {counts.frames} frames of "
        f"{1000 * seconds_per_frame:g} ms",
        f"text       {found.update.text}",
        f"compute    {100 * counts.compute_share:.1f} % of the dense encoder, reduction "
        f"{counts.compute_reduction:.1f} %",
        f"           {counts.gated.per_frame:,.0f} of {counts.dense.per_frame:,.0f} multiply-adds "
        "per frame, arbitrators included",
        "",
        f"{'computed %':<14}{'all':>6}{'block':>8}"
        + "".join(f"{number:>5}" for number in range(1, found.gates.num_blocks + 1)),
    ]
    for kind in kinds:
        by_block = "".join(f"{rate:5.0f}" for rate in _keep_percents(found, kind))
        total = 100 * getattr(counts, kind).keep_rate
        lines.append(f"{_KINDS[kind]:<14}{total:6.0f}{'':8}{by_block}")
    return "\n".join(lines)


def recording_figures(found: GatedRecognition, kinds: Sequence[str]) -> dict[str, float | None]:
    """The figures of a recording; what a recording shorter than a frame lacks is None.

    Arguments
    ---------
    found : GatedRecognition
        What was recognised.
    kinds : sequence of str
        Kinds of toggles that the model has.

    Returns
    -------
    dict
        `frames`, `compute_percent`, `reduction_percent`, `macs_per_frame`,
        `dense_macs_per_frame`, and by kind `keep_<kind>_percent` and
        `keep_<kind>_percent_block_<n>`.
    """
    counts = found.counts
    exists = counts.frames > 0
    figures: dict[str, float | None] = {
        "frames": counts.frames,
        "compute_percent": 100 * counts.compute_share if exists else None,
        "reduction_percent": counts.compute_reduction if exists else None,
        "macs_per_frame": counts.gated.per_frame if exists else None,
        "dense_macs_per_frame": counts.dense.per_frame if exists else None,
    }
    for kind in kinds:
        figures[f"keep_{kind}_percent"] = 100 * getattr(counts, kind).keep_rate if exists else None
        for number, rate in enumerate(_keep_percents(found, kind), start=1):
            figures[f"keep_{kind}_percent_block_{number}"] = rate if exists else None
    return figures


def _keep_percents(found: GatedRecognition, kind: str) -> list[float]:
    """By block."""
    gate = getattr(found.gates, kind)[0]  # (T, N) or (T, N, H)
    of_block = gate.reshape(*gate.shape[:2], -1).double()
    return (100 * of_block.mean(dim=(0, 2))).tolist()


def audit_markdown(
    speakers: Mapping[str, SpeakerCounts],
    overall: Mapping[str, Estimate],
    audits: Mapping[str, Sequence[GroupAudit]],
    kinds: Sequence[str],
    threshold: float,
) -> str:
    """Two tables for each column: the groups, and what they differ by from the rest.

    Arguments
    ---------
    speakers : mapping of str to SpeakerCounts
        What was measured.
    overall : mapping of str to Estimate
        Over all speakers.
    audits : mapping of str to sequence of GroupAudit
        By column.
    kinds : sequence of str
        Kinds of toggles that the model has.
    threshold : float
        That the gates were compared with.

    Returns
    -------
    str
        Markdown.
    """
    measures = _measures(kinds)
    total = sum(speakers.values(), SpeakerCounts())
    titles = ["speakers", "utterances", "words", *(_MEASURES[name] for name in measures)]
    lines = [f"Threshold {threshold:g}. 95 % intervals by resampling speakers."]
    for column, groups in audits.items():
        lines += ["", f"## By {column}", ""]
        rows = [_row("**all**", len(speakers), total, overall, measures)]
        rows += [
            _row(_name(group), group.speakers, group.counts, group.rates, measures)
            for group in groups
        ]
        lines += aligned_table([column, *titles], rows)
        lines += ["", "Minus all other speakers, in points:", ""]
        lines += aligned_table(
            [column, *(_MEASURES[name].removesuffix(" %") for name in measures)],
            [
                [_name(group), *(_text(group.differences[name], sign="+") for name in measures)]
                for group in groups
            ],
        )
        notes = _notes(len(speakers), groups)
        lines += ["", *notes] if notes else []
    return "\n".join([*lines, "", _verdict(audits)])


def audit_figures(
    speakers: Mapping[str, SpeakerCounts],
    overall: Mapping[str, Estimate],
    audits: Mapping[str, Sequence[GroupAudit]],
    kinds: Sequence[str],
) -> dict[str, float | None]:
    """The figures of an audit.

    Arguments
    ---------
    speakers, overall, audits, kinds
        See `audit_markdown`.

    Returns
    -------
    dict
        `speakers`, `utterances`, `words`, and for each measure (`wer`, `compute`,
        `skip_feed_forward`, `skip_query`, `skip_key`; all in percent) itself, `_low` and `_high`;
        the same for each group with `<column>_<group>_` before the name, and there also
        `_difference`, `_difference_low`, `_difference_high` in points.
    """
    total = sum(speakers.values(), SpeakerCounts())
    figures = _counts_figures("", len(speakers), total)
    for name in _measures(kinds):
        figures |= _estimate_figures(name, overall[name])
    for groups in audits.values():
        for group in groups:
            prefix = f"{figure_name(group.column, group.group)}_"
            figures |= _counts_figures(prefix, group.speakers, group.counts)
            for name in _measures(kinds):
                figures |= _estimate_figures(prefix + name, group.rates[name])
                difference = f"{prefix}{name}_difference"
                figures |= _estimate_figures(difference, group.differences[name])
    return figures


def _measures(kinds: Sequence[str]) -> list[str]:
    return ["wer", "compute", *(f"skip_{kind}" for kind in kinds)]


def _counts_figures(
    prefix: str, num_speakers: int, counts: SpeakerCounts
) -> dict[str, float | None]:
    return {
        f"{prefix}speakers": num_speakers,
        f"{prefix}utterances": counts.utterances,
        f"{prefix}words": counts.errors.words,
    }


def _estimate_figures(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _name(group: GroupAudit) -> str:
    return f"{group.group} *" if group.is_small else group.group


def _row(
    name: str,
    num_speakers: int,
    counts: SpeakerCounts,
    rates: Mapping[str, Estimate],
    measures: Sequence[str],
) -> list[str]:
    numbers = (num_speakers, counts.utterances, counts.errors.words)
    return [name, *(f"{number:,}" for number in numbers), *(_text(rates[m]) for m in measures)]


def _text(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None:
        return _UNKNOWN
    value = f"{estimate.value:{sign}.1f}"
    if estimate.low is None or estimate.high is None:
        return value
    interval = f"{value} [{estimate.low:{sign}.1f}, {estimate.high:{sign}.1f}]"
    return f"**{interval}**" if sign and estimate.excludes_zero else interval


def _notes(num_speakers: int, groups: Sequence[GroupAudit]) -> list[str]:
    notes = []
    if any(group.is_small for group in groups):
        notes.append(
            f"\\* fewer than {FEWEST_SPEAKERS} speakers: too few for a statement about the group"
        )
    unknown = num_speakers - sum(group.speakers for group in groups)
    if unknown:
        notes.append(f"Speakers without an entry in this column, in 'all' only: {unknown}")
    return notes


def _verdict(audits: Mapping[str, Sequence[GroupAudit]]) -> str:
    """Which groups get more or less compute than the rest, and for whom it goes with errors."""
    groups = [group for of_column in audits.values() for group in of_column]
    large = [group for group in groups if not group.is_small]
    differing = [group for group in large if group.differences["compute"].excludes_zero]
    skimped = [
        group
        for group in differing
        if (group.differences["compute"].high or 0) < 0 and (group.differences["wer"].low or 0) > 0
    ]
    return (
        f"Groups with {FEWEST_SPEAKERS} speakers or more: {len(large)}. Compute differs from the "
        f"rest for: {_list(differing)}. Less compute and more errors: {_list(skimped)}.\n"
        "(Judged by intervals without 0, bold above; by chance alone about one in twenty is. Who "
        "pauses more skips more, which is no harm.)"
    )


def _list(groups: Sequence[GroupAudit]) -> str:
    return (
        ", ".join(
            f"{group.column} {group.group} ({group.differences['compute'].value:+.1f} points)"
            for group in groups
        )
        or "none"
    )
