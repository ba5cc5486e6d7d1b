"""What is wrong with a table of transcripts: rows left out, places kept off the map, groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np

from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.transcript_rows import NO_VALUE, TranscriptRows, numbers_of
from sb_alexa.fairness.zip_codes import num_zip_digits, restore_zeros, zip_texts

_US_ZIP_DIGITS = 5


def usable_rows(rows: TranscriptRows) -> TranscriptRows:
    """Leave out what no error rate can count, and say so.

    Rows without identifier, speaker or counts, rows that repeat another, and empty references.

    Raises
    ------
    CorpusError
        If an identifier has two different rows, or no row is left.
    """
    for name, of_rows in (("identifier", "ids"), ("speaker", "speakers")):
        texts = getattr(rows, of_rows)
        known = np.fromiter(map(bool, texts), bool, len(texts))
        if not known.all():
            lines = [str(line) for line in rows.lines[~known].tolist()]
            rows = rows.chosen(
                known,
                f"{len(lines)} utterances without {name} are left out: lines {name_some(lines)}",
            )
    known = ~(np.isnan(rows.errors) | np.isnan(rows.words))
    if not known.all():
        rows = rows.chosen(
            known,
            f"{(~known).sum()} utterances without errors or words are left out: "
            f"{_names(rows, ~known)}",
        )
    rows = _without_repetitions(rows)
    unknown = sorted({who for who in rows.speakers if who.lower() in NO_VALUE})
    if unknown:
        rows = replace(
            rows,
            notes=(
                *rows.notes,
                f"{' and '.join(map(repr, unknown))} counts as the name of one speaker; where it "
                "stands for unknown ones, leave it empty",
            ),
        )
    spoken = rows.words > 0
    if not spoken.all():
        num_inserted = int(rows.errors[~spoken].sum())
        inserted = (
            f"; {num_inserted} words were recognised there, which count nowhere"
            if num_inserted
            else ""
        )
        rows = rows.chosen(
            spoken,
            f"{(~spoken).sum()} utterances have an empty reference and are left out: "
            f"{_names(rows, ~spoken)}{inserted}",
        )
    if not rows.ids:
        raise CorpusError(
            f"{rows.name} leaves no utterance to count: {'; '.join(rows.notes) or 'it is empty'}"
        )
    return rows


def _names(rows: TranscriptRows, chosen: np.ndarray) -> str:
    return name_some([*compress(rows.ids, chosen.tolist())])


def _without_repetitions(rows: TranscriptRows) -> TranscriptRows:
    if len(set(rows.ids)) == len(rows.ids):
        return rows
    keep = np.ones(len(rows.ids), dtype=bool)
    differing: dict[str, None] = {}
    first: dict[str, int] = {}
    for row, identifier in enumerate(rows.ids):
        earlier = first.setdefault(identifier, row)
        if earlier == row:
            continue
        keep[row] = False
        pair = [(rows.speakers[at], rows.errors[at], rows.words[at]) for at in (earlier, row)]
        if pair[0] != pair[1]:
            raise CorpusError(
                f"{rows.name}, line {rows.lines[row]} repeats {identifier!r} of line "
                f"{rows.lines[earlier]} with another speaker or other counts; delete one of them"
            )
        changed = (name for name, side in rows.columns.items() if side[earlier] != side[row])
        differing.update(dict.fromkeys(changed))
    also = f" (they differ in {', '.join(differing)}; the first counts)" if differing else ""
    repeated = [*dict.fromkeys(compress(rows.ids, (~keep).tolist()))]
    return rows.chosen(
        keep,
        f"{(~keep).sum()} rows repeat an utterance and are counted once{also}: "
        f"{name_some(repeated)}",
    )


def with_speaker_columns(
    rows: TranscriptRows,
    path: str,
    columns: Sequence[str],
    by_speaker: Mapping[str, Mapping[str, str]],
) -> TranscriptRows:
    """Add columns of a speaker table to those of the utterances, which win.

    Arguments
    ---------
    rows : TranscriptRows
        Utterances.
    path : str
        Of the speaker table.
    columns : sequence of str
        Which of its columns to add.
    by_speaker : mapping of str to mapping
        Its rows.

    Raises
    ------
    CorpusError
        If it knows none of the speakers.
    """
    present = dict.fromkeys(rows.speakers)
    absent = [speaker for speaker in present if speaker not in by_speaker]
    if len(absent) == len(present):
        raise CorpusError(
            f"{path} knows none of the {len(absent)} speakers of {rows.name}: the former has "
            f"{name_some([*by_speaker])}; the latter has {name_some(absent)}; write the same names "
            "in both"
        )
    notes = []
    if absent:
        notes.append(
            f"{path} lacks {len(absent)} of {len(present)} speakers, who are in no group of its "
            f"columns: {name_some(absent)}"
        )
    own = [column for column in columns if column in rows.columns]
    if own:
        notes.append(f"{', '.join(own)} of {rows.name} are used and not those of {path}")
    added = {}
    for column in columns:
        if column not in rows.columns:
            values = {speaker: by_speaker.get(speaker, {}).get(column, "") for speaker in present}
            added[column] = [values[speaker] for speaker in rows.speakers]
    return replace(rows, columns={**rows.columns, **added}, notes=(*rows.notes, *notes))


def coordinates(
    rows: TranscriptRows,
) -> tuple[tuple[np.ndarray, np.ndarray] | None, list[str]]:
    """Degrees of every utterance, NaN in both where one is missing or wrong, and what to say.

    None without the columns `latitude` and `longitude`, or where no utterance has a place.
    """
    given = [name for name in ("latitude", "longitude") if name in rows.columns]
    if len(given) < 2:
        return None, [f"there is no map: {given[0]} is given alone"] if given else []
    notes, sides = [], []
    missing = np.zeros(len(rows.ids), dtype=bool)
    wrong = np.zeros(len(rows.ids), dtype=bool)
    for name, most in (("latitude", 90), ("longitude", 180)):
        texts = rows.columns[name]
        side, strange = numbers_of(texts)
        if strange:
            notes.append(
                f"{name} of {len(strange)} utterances is no number (write degrees with a decimal "
                "point); they are kept out of the map only: "
                + name_some([f"{rows.ids[row]} ({texts[row]})" for row in strange])
            )
        missing |= np.isnan(side)
        outside = np.abs(side) > most
        if outside.any():
            listed = np.flatnonzero(outside).tolist()
            remedy = (
                "are the two columns swapped?"
                if name == "latitude"
                else "subtract 360 beyond 180 degrees."
            )
            notes.append(
                f"{name} of {len(listed)} utterances lies outside of -{most}..{most} degrees; "
                f"{remedy} They are kept out of the map only: "
                + name_some([f"{rows.ids[row]} ({texts[row]})" for row in listed])
            )
        wrong |= outside
        # What is said above need not be said to be missing.
        missing[strange] = False
        wrong[strange] = True
        sides.append(side)
    missing &= ~wrong
    if missing.any():
        notes.append(
            f"{missing.sum()} utterances of {len(set(compress(rows.speakers, missing.tolist())))} "
            f"speakers have no coordinates; they are kept out of the map only: "
            f"{_names(rows, missing)}"
        )
    absent = missing | wrong
    if absent.all():
        return None, [*notes, "there is no map: no utterance has coordinates"]
    for side in sides:
        side[absent] = np.nan
    return (sides[0], sides[1]), notes


def zip_codes(rows: TranscriptRows) -> tuple[tuple[str, ...] | None, list[str]]:
    """ZIP codes with their leading zeros, and what to say; None where there are none."""
    texts = rows.columns.get("zip")
    if texts is None:
        return None, []
    given = [*dict.fromkeys(texts)]
    cleaned = zip_texts(given)
    num_digits = num_zip_digits(cleaned)
    fixed, num_repaired = restore_zeros(cleaned, num_digits, repair=True, column="zip")
    notes = []
    if num_repaired:
        pairs = zip(cleaned, fixed, strict=True)
        said = sorted({f"{old} is {new}" for old, new in pairs if old != new})
        notes.append(
            f"{len(said)} ZIP codes lost their leading zero, which they were given back: "
            f"{name_some(said)}; read or write the column as text"
        )
    elif 0 < num_digits < _US_ZIP_DIGITS:
        notes.append(
            f"no ZIP code has more than {num_digits} digits; if they are those of the US, all of "
            "them lost their leading zero"
        )
    by_text = dict(zip(given, fixed, strict=True))
    codes = tuple(by_text[text] for text in texts)
    return (codes, notes) if any(fixed) else (None, ["no utterance has a ZIP code"])


def groups(
    column: str, values: Sequence[str], speakers: Sequence[str], *, of_utterances: Collection[str]
) -> tuple[tuple[str, ...] | None, list[str]]:
    """One column of groups, and what to say; None where nobody is in any.

    Speakers in two groups are in neither, unless the column is one `of_utterances`.
    """
    notes = []
    pairs = [*dict.fromkeys(pair for pair in zip(speakers, values, strict=True) if pair[1])]
    in_groups: dict[str, list[str]] = {}
    for speaker, group in pairs:
        in_groups.setdefault(speaker, []).append(group)
    if column not in of_utterances:
        several = {speaker: found for speaker, found in in_groups.items() if len(found) > 1}
        if several:
            said = [f"{speaker} ({' and '.join(found[:3])})" for speaker, found in several.items()]
            notes.append(
                f"column {column!r}: {len(several)} of {len(in_groups)} speakers are in more than "
                f"one group and are put into none: {name_some(said)}; correct them, or name the "
                "column as one of utterances"
            )
            values = ["" if who in several else v for who, v in zip(speakers, values, strict=True)]
            pairs = [pair for pair in pairs if pair[0] not in several]
    if not pairs:
        return None, [*notes, f"column {column!r} has no groups and is left out"]
    num_speakers: dict[str, int] = {}
    for _, group in pairs:
        num_speakers[group] = num_speakers.get(group, 0) + 1
    unknown = sorted(group for group in num_speakers if group.lower() in NO_VALUE)
    if unknown:
        notes.append(
            f"column {column!r}: {' and '.join(map(repr, unknown))} counts as a group like any "
            "other; where it stands for unknown, leave it empty"
        )
    alone = sorted(group for group, number in num_speakers.items() if number == 1)
    if alone:
        notes.append(
            f"column {column!r}: groups of one speaker, about whom nothing general can be said: "
            f"{name_some(alone)}"
        )
    return tuple(values), notes
