"""What VoxCeleb says about its speakers: `vox1_meta.csv` and `vox2_meta.csv`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sb_alexa.assets import nearest
from sb_alexa.corpora.text_files import CorpusError, name_some, parse_file

METADATA_FILES = ("vox1_meta.csv", "vox2_meta.csv")
SPEAKER_ID = re.compile(r"id\d{5}")
# Those of VoxCeleb1; VoxCeleb2 has none.
NATIONALITIES = (
    *("Australia", "Austria", "Brazil", "Canada", "Chile", "China", "Croatia", "Denmark"),
    *("France", "Germany", "Guyana", "India", "Iran", "Ireland", "Israel", "Italy", "Mexico"),
    *("Netherlands", "New Zealand", "Norway", "Pakistan", "Philippines", "Poland", "Portugal"),
    *("Russia", "Singapore", "South Africa", "South Korea", "Spain", "Sri Lanka", "Sudan"),
    *("Sweden", "Switzerland", "Trinidad and Tobago", "UK", "USA"),
)
_CORPUS = re.compile(r"voxceleb([12]) id", re.IGNORECASE)
_GENDERS = {"m": "M", "male": "M", "f": "F", "female": "F", "": ""}
_SETS = ("dev", "test")


class SpeakerInfo(NamedTuple):
    """One line of the metadata; gender (`F`, `M`) and nationality are empty where unknown.

    `subset` is `vox1_dev`, `vox1_test`, `vox2_dev` or `vox2_test`.
    """

    id: str
    gender: str
    nationality: str
    subset: str


class MetadataHeader(NamedTuple):
    """The header of a metadata file: what its lines look like.

    Arguments
    ---------
    corpus : str
        `vox1` or `vox2`.
    delimiter : str
        Tab or comma.
    columns : tuple of str
        Lower-case names: `id`, `gender`, `set`, perhaps `nationality`, and others.
    """

    corpus: str
    delimiter: str
    columns: tuple[str, ...]

    def parse(self, line: str) -> SpeakerInfo:
        """Read one line below the header.

        Raises
        ------
        ValueError
            If it has another number of fields, or an id, gender or set of another kind.

        Example
        -------
        >>> header = parse_metadata_header("VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set ")
        >>> header.parse("id00012 ,n000012 ,m ,dev ")
        SpeakerInfo(id='id00012', gender='M', nationality='', subset='vox2_dev')
        """
        fields = [field.strip() for field in line.split(self.delimiter)]
        if len(fields) != len(self.columns):
            raise ValueError(
                f"{line.strip()[:60]!r} holds {len(fields)} fields, the header {len(self.columns)} "
                f"between {_name(self.delimiter)}; write every line like the header"
            )
        row = dict(zip(self.columns, fields, strict=True))
        gender, subset = row["gender"].lower(), row["set"].lower()
        if not SPEAKER_ID.fullmatch(row["id"]):
            raise ValueError(f"{row['id']!r} is not a speaker, such as id10001")
        if gender not in _GENDERS:
            raise ValueError(f"gender {row['gender']!r} of {row['id']} is neither m nor f")
        if subset not in _SETS:
            raise ValueError(f"set {row['set']!r} of {row['id']} is neither dev nor test")
        nationality = row.get("nationality", "")
        return SpeakerInfo(row["id"], _GENDERS[gender], nationality, f"{self.corpus}_{subset}")


def parse_metadata_header(line: str) -> MetadataHeader:
    """Read the first line of a metadata file, between tabs (VoxCeleb1) or commas (VoxCeleb2).

    Raises
    ------
    ValueError
        If it is not such a header; the message says what it lacks.

    Example
    -------
    >>> parse_metadata_header("VoxCeleb1 ID\\tVGGFace1 ID\\tGender\\tNationality\\tSet").columns
    ('id', 'vggface1 id', 'gender', 'nationality', 'set')
    """
    line = line.strip().removeprefix("\ufeff")
    delimiter = max("\t,", key=line.count)
    columns = [column.strip().lower() for column in line.split(delimiter)]
    match = _CORPUS.fullmatch(columns[0])
    if match is not None:
        columns[0] = "id"
    lacking = [column for column in ("id", "gender", "set") if column not in columns]
    if match is None or lacking:
        raise ValueError(
            f"{line[:80]!r} is not a header such as 'VoxCeleb1 ID, VGGFace1 ID, Gender, "
            f"Nationality, Set' between tabs or commas (lacking: {', '.join(lacking) or 'id'}); "
            "if it has another delimiter, write the file with tabs"
        )
    return MetadataHeader(f"vox{match[1]}", delimiter, tuple(columns))


def _name(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else "commas"


def read_metadata(path: Path) -> dict[str, SpeakerInfo]:
    """Read `vox1_meta.csv` or `vox2_meta.csv`; a byte-order mark and padding do no harm.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    speakers : dict of str to SpeakerInfo
        By speaker, in the order of the file.

    Raises
    ------
    CorpusError
        If it cannot be read, holds nobody or somebody twice; the message names the line.
    """
    header: MetadataHeader | None = None

    def parse(line: str) -> SpeakerInfo | None:
        nonlocal header
        if header is None:
            header = parse_metadata_header(line)
            return None
        return header.parse(line)

    if not path.is_file():
        raise CorpusError(f"metadata {path} does not exist")
    speakers: dict[str, SpeakerInfo] = {}
    for speaker in parse_file(path, parse):
        if speaker.id in speakers:
            raise CorpusError(f"{path}: speaker {speaker.id} is there twice; delete one line")
        speakers[speaker.id] = speaker
    if not speakers:
        raise CorpusError(f"{path} holds no speaker; download it again")
    return speakers


def unknown_nationalities(speakers: Iterable[SpeakerInfo]) -> list[str]:
    """What is unusual about the nationalities, in sentences; nothing about VoxCeleb2.

    Arguments
    ---------
    speakers : iterable of SpeakerInfo
        Whom to look at.

    Example
    -------
    >>> unknown_nationalities([SpeakerInfo("id10001", "F", "U.S.A.", "vox1_dev")])
    ["nationality 'U.S.A.' of 1 speakers is none of VoxCeleb1's (did you mean USA?): it makes a \
group of its own"]
    """
    found = [one for one in speakers if one.subset.startswith("vox1")]
    said = []
    absent = sorted(one.id for one in found if not one.nationality)
    if absent:
        said.append(
            f"nationality unknown for {len(absent)} speakers ({name_some(absent)}): they are in "
            "no group of nationality"
        )
    strange = Counter(one.nationality for one in found if one.nationality not in NATIONALITIES)
    for nationality, num_speakers in sorted(strange.items()):
        if nationality:
            close = nearest(nationality, NATIONALITIES)
            question = f" (did you mean {close}?)" if close else ""
            said.append(
                f"nationality {nationality!r} of {num_speakers} speakers is none of VoxCeleb1's"
                f"{question}: it makes a group of its own"
            )
    return said


def nationality_group(nationality: str) -> str:
    """The three groups in which results on VoxCeleb1 are published: US, UK and other.

    Arguments
    ---------
    nationality : str
        As in the metadata. Without one, or with one that is none of VoxCeleb1's, there is no group.

    Example
    -------
    >>> [nationality_group(name) for name in ("USA", "UK", "India", "U.S.A.")]
    ['US', 'UK', 'other', '']
    """
    if nationality not in NATIONALITIES:
        return ""
    return {"USA": "US", "UK": "UK"}.get(nationality, "other")
