"""Parametric speakers: a voice, a place and demographic attributes for each, from a seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.synthesis import accent_definition

# Name in the speaker table -> definition below the engine's ``lang`` folder.
ACCENTS: Mapping[str, str] = {
    "american": "gmw/en-US",
    "british": "gmw/en",
    "received_pronunciation": "gmw/en-GB-x-rp",
    "scottish": "gmw/en-GB-scotland",
    "caribbean": "gmw/en-029",
    "new_york": "gmw/en-US-nyc",
    "lancaster": "gmw/en-GB-x-gbclan",
    "west_midlands": "gmw/en-GB-x-gbcwmd",
}
GENDERS = ("F", "M")
# Neighbours: one meridian parts their home towns from all others.
EASTERN_ACCENTS = ("scottish", "west_midlands")
_NUM_FORMANTS = 9

# Each accent has a home town on an invented map (latitude, longitude); every town has ZIP areas.
_TOWNS = tuple(
    (latitude, longitude) for latitude in (34.0, 43.0) for longitude in (-118, -106, -94, -82)
)
_TOWN_SPREAD_DEG = 0.8
_SHARE_AT_HOME = 0.85
# Share of residents with attribute A in the towns. Attribute B has the same distribution
# everywhere, so a tool that reports a gap along B reports noise.
_ATTRIBUTE_A_BY_TOWN = np.linspace(0.1, 0.9, len(_TOWNS))


@dataclass(frozen=True)
class Speaker:
    """A synthetic speaker.

    Arguments
    ---------
    speaker_id : int
        Unique within a corpus.
    gender : str
        ``F`` or ``M``.
    accent : str
        A key of ``ACCENTS``.
    pitch_hz : tuple of int
        Lowest and highest pitch of the neutral voice.
    formants : tuple of (int, int, int)
        Frequency, amplitude and width of formants 0 to 8, in percent of the neutral voice.
    flutter, roughness : int
        Irregularity of the voice, in the engine's units.
    consonants : int
        Strength of the unvoiced consonants, in percent.
    rate_wpm : int
        Usual speaking rate, words a minute.
    latitude, longitude : float
        Place on an invented map, degrees.
    zip_code : str
        Five digits, the area around the place.
    attribute_a, attribute_b : float
        Invented demographic shares of the ZIP area, 0 to 1; A follows the accents' home towns, B
        follows nothing.
    hardness : float
        How much harder than usual the speaker's recordings are made, 0 (not) to 1.
    """

    speaker_id: int
    gender: str
    accent: str
    pitch_hz: tuple[int, int]
    formants: tuple[tuple[int, int, int], ...]
    flutter: int
    roughness: int
    consonants: int
    rate_wpm: int
    latitude: float
    longitude: float
    zip_code: str
    attribute_a: float
    attribute_b: float
    hardness: float = 0.0

    def voice_definition(self) -> str:
        """Return the text of the engine's voice file for this speaker.

        Raises
        ------
        ImportError
            If the engine, whose accent definitions are read, is not installed.
        """
        accent = accent_definition(ACCENTS[self.accent])
        lines = [line for line in accent.splitlines() if not line.startswith("name ")]
        lines += [
            f"name speaker-{self.speaker_id}",
            f"gender {'female' if self.gender == 'F' else 'male'}",
            f"pitch {self.pitch_hz[0]} {self.pitch_hz[1]}",
            f"flutter {self.flutter}",
            f"roughness {self.roughness}",
            f"consonants {self.consonants} {self.consonants}",
        ]
        lines += [f"formant {n} {f} {a} {w}" for n, (f, a, w) in enumerate(self.formants)]
        return "\n".join(lines) + "\n"


def make_speakers(
    num_speakers: int,
    *,
    seed: int,
    first_id: int = 1,
    hardness: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Speaker]:
    """Draw speakers, balanced over accents and genders.

    Consecutive speakers run through the 8 accents, then through the genders: any multiple of 16 is
    exactly balanced. A speaker depends on the seed and the id only, not on how many are drawn.

    Arguments
    ---------
    num_speakers : int
        At least 1.
    seed : int
        Seed of the corpus.
    first_id : int
        Id of the first speaker; the others follow.
    hardness : mapping of str to mapping of str to float
        Planted difficulty of groups by accent or gender, 0 to 1, as
        ``{"accent": {"scottish": 0.5}}``. A speaker of several groups gets the largest.
        Default: none.

    Returns
    -------
    list of Speaker

    Raises
    ------
    ValueError
        If a number is out of range or a group does not exist.

    Example
    -------
    >>> speakers = make_speakers(16, seed=0, hardness={"accent": {"scottish": 0.5}})
    >>> len({(speaker.accent, speaker.gender) for speaker in speakers})
    16
    >>> [speaker.hardness for speaker in speakers[2:5]]
    [0.0, 0.5, 0.0]
    >>> make_speakers(1, seed=0, first_id=5)[0] == make_speakers(16, seed=0)[4]
    True
    """
    if num_speakers < 1:
        raise ValueError(f"num_speakers must be >= 1, got {num_speakers}")
    if first_id < 1:
        raise ValueError(f"first_id must be >= 1, got {first_id}")
    planted = check_hardness(hardness)
    return [_draw(seed, first_id + index, planted) for index in range(num_speakers)]


def check_hardness(
    hardness: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, dict[str, float]]:
    """Return the planted difficulty as plain dictionaries.

    Raises
    ------
    ValueError
        If a column or group does not exist, or a level is outside 0..1.
    """
    known = {"accent": tuple(ACCENTS), "gender": GENDERS}
    planted: dict[str, dict[str, float]] = {}
    for column, levels in (hardness or {}).items():
        if column not in known:
            raise ValueError(f"hardness can be planted by {' or '.join(known)}, not by {column!r}")
        for group, level in levels.items():
            if group not in known[column]:
                raise ValueError(
                    f"hardness: no {column} is called {group!r}; "
                    f"choose from {', '.join(known[column])}"
                )
            if not 0 <= level <= 1:
                raise ValueError(f"hardness of {group!r} must be within 0..1, got {level}")
        planted[column] = {group: float(level) for group, level in levels.items()}
    return planted


def check_rare_accents(rare_accents: Mapping[str, float] | None) -> dict[str, float]:
    """Return the shares of rare accents as a plain dictionary.

    Raises
    ------
    ValueError
        If an accent does not exist, or a share is not above 0 and at most 1.
    """
    rare = {}
    for accent, share in (rare_accents or {}).items():
        if accent not in ACCENTS:
            raise ValueError(
                f"no accent is called {accent!r}; choose rare ones from {', '.join(ACCENTS)}"
            )
        if not 0 < share <= 1:
            raise ValueError(
                f"the share of {accent} readers in training must be above 0 and at most 1, got "
                f"{share}; without any there is nothing to learn the accent from"
            )
        rare[accent] = float(share)
    return rare


def without_most_of(
    speakers: Iterable[Speaker], rare_accents: Mapping[str, float]
) -> list[Speaker]:
    """Leave out all but a share of the speakers of rare accents.

    The first of each accent and gender stay, their number rounded up.

    Arguments
    ---------
    speakers : iterable of Speaker
        In order.
    rare_accents : mapping of str to float
        Share that stays, by accent.

    Returns
    -------
    list of Speaker
        In the same order.

    Example
    -------
    >>> kept = without_most_of(make_speakers(160, seed=0), {"scottish": 0.15})
    >>> len(kept), [who.gender for who in kept if who.accent == "scottish"]
    (144, ['F', 'M', 'F', 'M'])
    """
    everybody: Sequence[Speaker] = list(speakers)
    totals = Counter((who.accent, who.gender) for who in everybody)
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for who in everybody:
        group = (who.accent, who.gender)
        seen[group] += 1
        # Rounded first: 0.15 x 20 is more than 3 in floating point.
        if seen[group] <= math.ceil(round(rare_accents.get(who.accent, 1.0) * totals[group], 9)):
            kept.append(who)
    return kept


def _draw(seed: int, speaker_id: int, planted: dict[str, dict[str, float]]) -> Speaker:
    rng = stream(seed, Purpose.VOICE, speaker_id)
    accent_index = (speaker_id - 1) % len(ACCENTS)
    accent = tuple(ACCENTS)[accent_index]
    gender = GENDERS[(speaker_id - 1) // len(ACCENTS) % len(GENDERS)]
    # Ranges within which the engine stays intelligible.
    if gender == "M":
        scale, pitch = rng.uniform(0.88, 1.03), rng.uniform(68, 112)
    else:
        scale, pitch = rng.uniform(1.06, 1.22), rng.uniform(140, 205)
    formants = tuple(
        (
            round(100 * scale * rng.uniform(0.96, 1.04)),
            round(100 * rng.uniform(0.8, 1.2)),
            round(100 * rng.uniform(0.8, 1.25)),
        )
        for _ in range(_NUM_FORMANTS)
    )
    latitude, longitude, zip_code, attribute_a, attribute_b = _place(seed, speaker_id, accent_index)
    return Speaker(
        speaker_id=speaker_id,
        gender=gender,
        accent=accent,
        pitch_hz=(round(pitch), round(pitch * rng.uniform(1.25, 1.7))),
        formants=formants,
        flutter=int(rng.integers(0, 13)),
        roughness=int(rng.integers(0, 4)),
        consonants=int(rng.integers(80, 121)),
        rate_wpm=int(rng.integers(140, 206)),
        latitude=latitude,
        longitude=longitude,
        zip_code=zip_code,
        attribute_a=attribute_a,
        attribute_b=attribute_b,
        hardness=max(
            planted.get("accent", {}).get(accent, 0.0), planted.get("gender", {}).get(gender, 0.0)
        ),
    )


def _place(seed: int, speaker_id: int, home: int) -> tuple[float, float, str, float, float]:
    rng = stream(seed, Purpose.PLACE, speaker_id)
    away = int(rng.integers(len(_TOWNS)))
    town = home if rng.random() < _SHARE_AT_HOME else away
    north, east = rng.normal(scale=_TOWN_SPREAD_DEG, size=2)
    # The four quarters of a town are its ZIP areas.
    area = 2 * int(north > 0) + int(east > 0)
    area_rng = stream(seed, Purpose.PLACE, 0, town, area)
    attribute_a = float(np.clip(_ATTRIBUTE_A_BY_TOWN[town] + area_rng.normal(scale=0.05), 0, 1))
    attribute_b = float(area_rng.uniform(0.1, 0.9))
    latitude, longitude = _TOWNS[town]
    zip_code = f"{10001 + 1000 * town + area}"
    return (
        round(latitude + north, 4),
        round(longitude + east, 4),
        zip_code,
        round(attribute_a, 2),
        round(attribute_b, 2),
    )
