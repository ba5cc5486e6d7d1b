"""Tables of transcripts of which the truth is known."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from sb_alexa.corpora.transcript_table import TranscriptTable

ACCENTS = ("plain", "hard", "other")
ZIPS = ("00601", "02138", "10001", "94110")
NUM_SPEAKERS, NUM_UTTERANCES = 320, 6


def audit_table(
    name: str = "system",
    *,
    seed: int = 0,
    better: float = 1.0,
    noise_only: bool = False,
    num_speakers: int = NUM_SPEAKERS,
) -> TranscriptTable:
    """Speakers of the accent `hard` and of the south-west make two to three times as many errors.

    Arguments
    ---------
    name, seed
        Of the system; speakers and words are the same for all.
    better : float
        Factor on the errors of speakers with the hard accent.
    noise_only : bool
        Whether no group differs.
    num_speakers : int
        How many.
    """
    who = np.random.default_rng(7)
    accent = who.choice(ACCENTS, num_speakers, p=[0.5, 0.25, 0.25])
    sex = who.choice(["F", "M"], num_speakers)
    latitude, longitude = who.uniform(30, 40, num_speakers), who.uniform(-110, -90, num_speakers)
    zips = who.choice(ZIPS, num_speakers)
    rate = 0.08 * who.gamma(8.0, 1 / 8, num_speakers)
    if not noise_only:
        rate *= np.where(accent == "hard", 2.0 * better, 1.0)
        rate *= np.where((latitude < 35) & (longitude < -100), 2.5, 1.0)
    speaker = np.repeat(np.arange(num_speakers), NUM_UTTERANCES)
    words = who.integers(20, 40, len(speaker)).astype(float)
    errors = np.random.default_rng(seed).poisson(rate[speaker] * words).astype(float)
    names = [f"s{number:03d}" for number in speaker.tolist()]
    return TranscriptTable(
        name,
        tuple(f"{one}-{number}" for number, one in enumerate(names)),
        tuple(names),
        errors,
        words,
        {"accent": tuple(accent[speaker].tolist()), "sex": tuple(sex[speaker].tolist())},
        latitude[speaker],
        longitude[speaker],
        tuple(zips[speaker].tolist()),
    )


def write_table(path: Path, table: TranscriptTable) -> Path:
    """Write it as the CSV that a user has."""
    assert table.latitude is not None and table.longitude is not None and table.zip_codes
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["id", "speaker", "errors", "words", *table.columns, "latitude", "longitude", "zip"]
        )
        writer.writerows(
            zip(
                table.ids,
                table.speakers,
                table.errors.astype(int).tolist(),
                table.words.astype(int).tolist(),
                *table.columns.values(),
                table.latitude.tolist(),
                table.longitude.tolist(),
                table.zip_codes,
                strict=True,
            )
        )
    return path
